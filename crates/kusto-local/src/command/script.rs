//! `.execute database script`: several commands in one request, one after the other.

use super::Context;
use crate::ServiceError;
use crate::state::State;
use kusto_types::ColumnType;
use kusto_wire::ResultTable;
use std::sync::Arc;

/// The commands of a script: each begins on a line of its own with a dot. Lines of comment
/// between them are left out.
fn commands(script: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for line in script.lines() {
        let trimmed = line.trim_start();
        match commands.last_mut() {
            _ if trimmed.starts_with('.') => commands.push(line.to_owned()),
            Some(command) if !trimmed.starts_with("//") => {
                command.push('\n');
                command.push_str(line);
            }
            _ => {}
        }
    }
    commands.into_iter().map(|command| command.trim().to_owned()).collect()
}

/// Runs the commands, each with the caller's own rights. The first that fails ends the
/// script, unless `ContinueOnErrors`; it is an error of the script with `ThrowOnErrors`.
pub(super) fn execute(
    state: &Arc<State>,
    context: &Context<'_>,
    properties: &[(String, String)],
    script: &str,
) -> Result<ResultTable, ServiceError> {
    let is_on = |name: &str| {
        properties
            .iter()
            .any(|(known, value)| known.eq_ignore_ascii_case(name) && value.eq_ignore_ascii_case("true"))
    };
    let mut result = ResultTable::new(
        "Table_0",
        [
            ("OperationId", ColumnType::Guid),
            ("CommandType", ColumnType::String),
            ("CommandText", ColumnType::String),
            ("Result", ColumnType::String),
            ("Reason", ColumnType::String),
        ],
    );
    let commands = commands(script);
    if commands.is_empty() {
        return Err(ServiceError::BadRequest("the script has no command".to_owned()));
    }
    for text in commands {
        let outcome = if text.trim_start_matches('.').trim_start().starts_with("execute") {
            Err(ServiceError::BadRequest("a script cannot run a script".to_owned()))
        } else {
            super::run(state, &text, context)
        };
        let (says, reason, failed) = match outcome {
            Ok(_) => ("Completed", String::new(), false),
            Err(error) if is_on("ThrowOnErrors") => return Err(error),
            Err(error) => ("Failed", error.to_string(), true),
        };
        let kind = kind_of(&text);
        result = result.with_row(vec![
            uuid::Uuid::new_v4().to_string().into(),
            kind.into(),
            text.into(),
            says.into(),
            reason.into(),
        ]);
        if failed && !is_on("ContinueOnErrors") {
            break;
        }
    }
    Ok(result)
}

/// What a command does, by its verb and the word behind: `CreateTable`,
/// `CreateOrAlterFunction`.
fn kind_of(text: &str) -> String {
    let words = text.trim_start_matches('.').split_whitespace().take(2).flat_map(|word| word.split('-'));
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
    };
    words.map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_begin_on_lines_of_their_own() {
        let script = "// first\n.create table A (a:long)\n\n.create-or-alter function F() {\n  A\n  | count\n}\n// last\n.drop table B ifexists\n";
        assert_eq!(
            commands(script),
            [
                ".create table A (a:long)",
                ".create-or-alter function F() {\n  A\n  | count\n}",
                ".drop table B ifexists"
            ]
        );
        assert!(commands("print 1").is_empty());
    }
}
