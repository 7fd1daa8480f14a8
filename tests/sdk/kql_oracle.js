// Gives the queries of the corpus (tests/kql) to Kusto's own parser and binder: it must
// accept each that we accept, and name the same columns and types.
//
//   node kql_oracle.js FOLDER
require("@kusto/language-service-next/bridge.min.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.min.js");
const fs = require("fs");
const path = require("path");
const { Language } = globalThis.Kusto;
const { Symbols } = Language;

const items = (list) => Array.from({ length: list ? list.Count : 0 }, (_, index) => list.getItem(index));

/** The database that the commands of a file make. */
function globalsOf(commands) {
    const tables = commands
        .map((command) => command.match(/^\.create table (\S+) \((.*)\)\s*$/))
        .filter(Boolean)
        .map(([, name, columns]) => new Symbols.TableSymbol.$ctor7(name, `(${columns})`, null));
    const functions = commands
        .map((command) => command.match(/^\.create(?:-or-alter)? function (?:with \(.*?\) )?(\w+)\s*(\(.*?\))\s*(\{.*\})\s*$/))
        .filter(Boolean)
        .map(([, name, parameters, body]) => new Symbols.FunctionSymbol.$ctor16(name, parameters, body, null));
    const database = new Symbols.DatabaseSymbol.ctor("NetDefaultDB", [...tables, ...functions]);
    const cluster = new Symbols.ClusterSymbol.ctor("local", [database]);
    return Language.GlobalState.Default.WithCluster(cluster).WithDatabase(database);
}

/** Columns of its list that no cluster gives: slipped letters, and what is no longer there. */
const SLIPS = ["ReservedSlot1", "ScannedEventStatistics", "Pricipal", "CurrentUseIsUnrestrictedViewer"];

/** The columns of a command by Kusto's own list that ours does not have, or not so. */
function lacking(title, code, expected) {
    if (!code.Text.startsWith(".") || code.Text.includes(";")) {
        return null;
    }
    const [heading] = expected.split("\n");
    const ours = new Map(heading.split(", ").map((column) => column.split(":")));
    const theirs = items(code.ResultType && code.ResultType.Columns);
    // Of a command behind a pipe some types are not known to it.
    const wrong = theirs.filter(
        (column) =>
            column.Type.Name !== "unknown" && !SLIPS.includes(column.Name) && ours.get(column.Name) !== column.Type.Name,
    );
    return wrong.length
        ? `${title}: lacks ${wrong.map((column) => `${column.Name}:${column.Type.Name}`).join(", ")}`
        : null;
}

/** What is wrong with a case, or nothing. */
function check(globals, title, query, expected) {
    const code = Language.KustoCode.ParseAndAnalyze(query, globals);
    let faults = items(code.GetDiagnostics()).filter((fault) => fault.Severity === "Error");
    if (title.startsWith("commands.txt")) {
        // What these name is made as they run: only their grammar can be judged.
        faults = faults.filter((fault) => !fault.Message.startsWith("The name "));
        if (expected.startsWith("error: ")) {
            return null;
        }
        if (faults.length) {
            return `${title}: ${faults.map((fault) => fault.Message).join("; ")}`;
        }
        return lacking(title, code, expected);
    }
    if (expected.startsWith("error: ")) {
        return faults.length ? null : `${title}: Kusto accepts it`;
    }
    if (faults.length) {
        return `${title}: ${faults.map((fault) => fault.Message).join("; ")}`;
    }
    // Of several results only the last has a type here.
    const ours = expected.split("\n").filter((line) => !line.startsWith("[")).pop();
    const theirs = items(code.ResultType && code.ResultType.Columns)
        .map((column) => `${column.Name}:${column.Type.Name}`)
        .join(", ");
    return ours === theirs ? null : `${title}:\n  ours   ${ours}\n  theirs ${theirs}`;
}

const folder = process.argv[2];
let count = 0;
const wrong = [];
for (const file of fs.readdirSync(folder).filter((name) => name.endsWith(".txt"))) {
    const [setup, ...cases] = fs.readFileSync(path.join(folder, file), "utf8").split("====\n");
    const globals = globalsOf(setup.split("\n"));
    for (const text of cases) {
        const end = text.indexOf("\n");
        const title = text.slice(0, end);
        const [query, expected] = text.slice(end + 1).split("----\n");
        if (title.includes("(ours)")) {
            continue;
        }
        count += 1;
        const fault = check(globals, `${file}: ${title}`, query.trimEnd(), expected.trimEnd());
        if (fault) {
            wrong.push(fault);
        }
    }
}
console.log(`${count} cases`);
if (wrong.length) {
    console.error(wrong.join("\n"));
    process.exit(1);
}
