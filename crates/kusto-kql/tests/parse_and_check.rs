//! Queries and commands as users write them: what they become, and what the errors say.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use kusto_kql::plan::{PlanSource, Step};
use kusto_kql::*;
use kusto_types::{ColumnType, DateTime, TableSchema};
use serde_json::{Map, json};

struct Fixture;

impl Scope for Fixture {
    fn table(&self, _: Option<&str>, table: &str) -> Option<TableSchema> {
        (table == "Flights").then(|| {
            TableSchema::of([
                ("carrier", ColumnType::String),
                ("dep_delay", ColumnType::Long),
                ("time_hour", ColumnType::DateTime),
                ("extra", ColumnType::Dynamic),
            ])
            .unwrap()
        })
    }
    fn function(&self, _: &str) -> Option<kusto_kql::ast::FunctionDef> {
        None
    }
    fn table_names(&self) -> Vec<String> {
        vec!["Flights".into()]
    }
    fn database(&self) -> &str {
        "NetDefaultDB"
    }
    fn now(&self) -> DateTime {
        DateTime::parse("2026-01-01").unwrap()
    }
}

fn columns(text: &str) -> Result<String, KqlError> {
    let plans = check_query(&parse_query(text)?, &Fixture, &Map::new())?;
    Ok(plans[0]
        .output
        .iter()
        .map(|(name, column_type)| format!("{name}:{column_type}"))
        .collect::<Vec<_>>()
        .join(","))
}

#[test]
fn names_and_types_of_results() {
    for (query, expected) in [
        ("Flights", "carrier:string,dep_delay:long,time_hour:datetime,extra:dynamic"),
        ("Flights | count", "Count:long"),
        (
            "Flights | where dep_delay > 5 and carrier has 'AA' | project carrier, d = dep_delay * 1.5",
            "carrier:string,d:real",
        ),
        (
            "Flights | summarize count(), avg(dep_delay), arg_max(time_hour, *) by carrier",
            "carrier:string,count_:long,avg_dep_delay:real,time_hour:datetime,dep_delay:long,extra:dynamic",
        ),
        (
            "Flights | summarize n = count() by bin(time_hour, 1d), late = dep_delay > 0",
            "time_hour:datetime,late:bool,n:long",
        ),
        (
            "Flights | extend a = extra.b.c, age = now() - time_hour | project-away extra, carrier",
            "dep_delay:long,time_hour:datetime,a:dynamic,age:timespan",
        ),
        (
            "print 1, x = 'a', datetime(2020-01-01), 1.5h",
            "print_0:long,x:string,print_2:datetime,print_3:timespan",
        ),
        ("datatable(a:int, b:string) [1, 'x', int(null), 'y'] | top 1 by a", "a:int,b:string"),
        ("let n = 5; Flights | take n", "carrier:string,dep_delay:long,time_hour:datetime,extra:dynamic"),
        ("['Flights'] | distinct carrier | order by carrier asc nulls last // note", "carrier:string"),
        (
            "Flights | where carrier !in ('AA', 'UA') and dep_delay between (1 .. 5) | limit 3 | render table",
            "carrier:string,dep_delay:long,time_hour:datetime,extra:dynamic",
        ),
        (
            "print guid(74be27de-1e4e-49d9-b579-fe0b331d3642), dynamic({\"a\": [1, 2]}), real(nan), decimal(1.5), -9223372036854775808",
            "print_0:guid,print_1:dynamic,print_2:real,print_3:decimal,print_4:long",
        ),
    ] {
        assert_eq!(columns(query).as_deref(), Ok(expected), "{query}");
    }
}

#[test]
fn faults_say_what_and_where() {
    for (query, kind, at, part) in [
        ("Flight", ErrorKind::Semantic, 0, "does not exist"),
        ("flights | count", ErrorKind::Semantic, 0, "did you mean Flights"),
        ("Flights | where Carrier == 'AA'", ErrorKind::Semantic, 16, "did you mean carrier"),
        ("Flights | wher x", ErrorKind::Syntax, 10, "operator wher"),
        ("Flights | where carrier == 5", ErrorKind::Semantic, 24, "try adding explicit casts"),
        ("Flights | project sum(dep_delay)", ErrorKind::Semantic, 18, "only in summarize"),
        ("Flights | extend foo(1)", ErrorKind::Semantic, 17, "not known here"),
        ("Flights | where (", ErrorKind::Syntax, 17, "end of the text"),
        ("Flights | take -1", ErrorKind::Semantic, 10, "non-negative"),
        ("print datetime(nope)", ErrorKind::Syntax, 6, "not a datetime literal"),
        ("", ErrorKind::Syntax, 0, "no tabular statement"),
        ("Flights count", ErrorKind::Syntax, 8, "expected |"),
        ("datatable(a:int) [1, 2", ErrorKind::Syntax, 22, "expected , or ]"),
        ("print \"unclosed", ErrorKind::Syntax, 6, "expected an expression"),
    ] {
        let error = columns(query).unwrap_err();
        assert_eq!((error.kind, error.at), (kind, at), "{query}: {error}");
        assert!(error.message.contains(part), "{query}: {error}");
    }
}

#[test]
fn deep_nesting_is_an_error_not_a_crash() {
    for text in
        [format!("print {}1{}", "(".repeat(5000), ")".repeat(5000)), format!("print {}1", "-".repeat(5000))]
    {
        assert!(columns(&text).is_err());
    }
}

#[test]
fn parameters_take_literals_and_defaults() {
    let query = parse_query("declare query_parameters(n:long, name:string = 'x'); print n, name").unwrap();
    let value = json!({"n": "41"});
    let plans = check_query(&query, &Fixture, value.as_object().unwrap()).unwrap();
    assert_eq!(plans[0].source, PlanSource::Rows(vec![vec![]]));
    assert!(matches!(&plans[0].steps[0], Step::Project(items) if items.len() == 2));
    assert!(check_query(&query, &Fixture, &Map::new()).unwrap_err().message.contains("no value"));
    let bad = json!({"n": "x y"});
    assert!(check_query(&query, &Fixture, bad.as_object().unwrap()).is_err());
}

#[test]
fn commands_read() {
    use Command as C;
    let command = |text: &str| parse_command(text).unwrap_or_else(|error| panic!("{text}: {error}")).command;
    assert_eq!(command(".get ingestion resources"), C::IngestionResources);
    assert_eq!(command(".show ingestion resources with (EnableBlobCors='true')"), C::IngestionResources);
    assert_eq!(command(".get kusto identity token;"), C::IdentityToken);
    assert!(matches!(
        command(".create-merge table ['my table'] (a:long, ['b c']:string) with (docstring='d', folder=\"f\")"),
        C::CreateTables { tables, mode: CreateMode::CreateMerge, folder, .. }
            if tables[0].name == "my table" && tables[0].columns.len() == 2 && folder == "f"
    ));
    assert!(matches!(
        command(".create-or-alter table T ingestion json mapping 'M' '[{\"column\":\"a\"' ',\"path\":\"$.a\"}]'"),
        C::CreateMapping { json, name, .. } if json == r#"[{"column":"a","path":"$.a"}]"# && name == "M"
    ));
    assert!(matches!(
        command(".alter table T policy ingestionbatching @'{\"MaximumNumberOfItems\": 5}'"),
        C::Policy { action: PolicyAction::Alter(json), .. } if json.contains('5')
    ));
    assert!(matches!(
        command(".alter database D policy streamingingestion enable"),
        C::Policy { entity: PolicyEntity::Database(name), .. } if name == "D"
    ));
    assert!(matches!(
        command(".ingest inline into table T with (format='csv') <|\n1,a\n2,\"b;c\"\n"),
        C::IngestInline { data, .. } if data == "1,a\n2,\"b;c\"\n"
    ));
    assert!(
        matches!(command(".set-or-append T <| Flights | take 5"), C::Fill { query, .. } if query == "Flights | take 5")
    );
    assert!(matches!(
        command(".show ingestion failures with (OperationId=74be27de-1e4e-49d9-b579-fe0b331d3642)"),
        C::ShowIngestionFailures { operation: Some(id) } if id.len() == 36
    ));
    let piped = parse_command(".show tables | where TableName == 'a' | count").unwrap();
    assert_eq!(piped.pipe.as_deref(), Some("| where TableName == 'a' | count"));
    for text in [
        ".show nothing",
        ".create thing",
        "show tables",
        ".",
        ".alter table T policy row_level_security '{}'",
        ".drop table",
    ] {
        assert!(parse_command(text).is_err(), "{text}");
    }
}

#[test]
fn principals_of_databases_and_tables_read() {
    let command = |text: &str| parse_command(text).map(|parsed| parsed.command);
    let change = |text: &str| match command(text).unwrap() {
        Command::ChangePrincipals { entity, role, change, principals, notes } => {
            (entity, role, change, principals, notes)
        }
        other => panic!("{text}: {other:?}"),
    };
    let one = || vec!["aadapp=1;t".to_owned()];
    let database = || PolicyEntity::Database("D".to_owned());
    let table = || PolicyEntity::Table("T".to_owned());
    assert_eq!(
        change(".add database D ingestors ('aadapp=1;t') skip-results 'a note'"),
        (database(), Role::Ingestor, PrincipalChange::Add, one(), "a note".to_owned())
    );
    assert_eq!(
        change(".drop table ['T'] admins (\"aadapp=1;t\")"),
        (table(), Role::Admin, PrincipalChange::Drop, one(), String::new())
    );
    assert_eq!(
        change(".set database D UnrestrictedViewers ('aadapp=1;t', 'aadgroup=g')").3,
        ["aadapp=1;t", "aadgroup=g"]
    );
    assert_eq!(change(".set table T ingestors none").3, [""; 0]);
    assert_eq!(
        command(".show database D principals").unwrap(),
        Command::ShowPrincipals { entity: database() }
    );
    assert_eq!(command(".show table T principals").unwrap(), Command::ShowPrincipals { entity: table() });
    // A table may have such a name.
    assert!(
        matches!(command(".set table <| print 1").unwrap(), Command::Fill { table, .. } if table == "table")
    );
    assert!(matches!(command(".set database with (a=1) <| print 1").unwrap(), Command::Fill { .. }));
    for (text, says) in [
        (".add table T viewers ('aadapp=1')", "no role of a table"),
        (".add database D owners ('aadapp=1')", "no role"),
        (".add database D users", "the principals"),
        (".add nothing", "not known here"),
    ] {
        assert!(command(text).unwrap_err().to_string().contains(says), "{text}");
    }
}

#[test]
fn commands_on_whole_tables_read() {
    let command = |text: &str| parse_command(text).unwrap().command;
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        command(".drop tables (A, ['b c']) ifexists"),
        Command::DropTables { names: names(&["A", "b c"]), if_exists: true }
    );
    assert_eq!(command(".drop table A"), Command::DropTables { names: names(&["A"]), if_exists: false });
    assert_eq!(command(".clear table cache data"), Command::ClearTable { name: "cache".to_owned() });
    assert_eq!(command(".clear table T cache streamingingestion schema"), Command::CacheControl);
    assert_eq!(
        command(".show table T extents"),
        Command::ShowExtents {
            of: ExtentsOf::Tables(vec!["T".to_owned()]),
            ids: Vec::new(),
            tags: Vec::new()
        }
    );
    let piped = parse_command(".show database extents | count").unwrap();
    assert_eq!(
        (piped.command, piped.pipe.is_some()),
        (Command::ShowExtents { of: ExtentsOf::Database(None), ids: Vec::new(), tags: Vec::new() }, true)
    );
}
