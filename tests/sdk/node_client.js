// Ingests with the unmodified Node client by file, stream and blob, and reads back.
const fs = require("fs");
const os = require("os");
const path = require("path");
const { Readable } = require("stream");
const data = require("azure-kusto-data");
const ingest = require("azure-kusto-ingest");

const [cluster, table, parquet] = process.argv.slice(2);
const connection = () => new data.KustoConnectionStringBuilder(cluster);
const kusto = new data.Client(connection());
const properties = (format) => new ingest.IngestionProperties({ database: "NetDefaultDB", table, format });
const csv = Array.from({ length: 10 }, (_, i) => `${i},name ${i},${i / 2}`).join("\n") + "\n";
const json = Array.from({ length: 10 }, (_, i) => JSON.stringify({ id: i, name: `j${i}`, v: i })).join("\n") + "\n";

async function rows() {
  const result = await kusto.execute("NetDefaultDB", `${table} | count`);
  return result.primaryResults[0].toJSON().data[0].Count;
}

async function until(count) {
  for (let turn = 0; turn < 150; turn++) {
    if ((await rows()) === count) return;
    await new Promise((wake) => setTimeout(wake, 200));
  }
  throw new Error(`${await rows()} rows, ${count} expected`);
}

// The client's table library refuses what is not encrypted.
async function tracked(client) {
  const outcome = async (text) => {
    const reporting = { reportLevel: ingest.ReportLevel.FailuresAndSuccesses, reportMethod: ingest.ReportMethod.Table };
    const target = new ingest.IngestionProperties({ database: "NetDefaultDB", table, format: ingest.DataFormat.CSV, ...reporting });
    const result = await client.ingestFromStream(Readable.from([Buffer.from(text)]), target);
    for (let turn = 0; turn < 150; turn++) {
      const status = await result.getIngestionStatusCollection();
      if (status.Status !== "Pending") return status;
      await new Promise((wake) => setTimeout(wake, 200));
    }
    throw new Error("no outcome");
  };
  const good = await outcome(csv);
  if (good.Status !== "Succeeded") throw new Error(`the good source: ${JSON.stringify(good)}`);
  await until(60);
  const bad = await outcome('1,"a\n');
  if (bad.Status !== "Failed" || bad.ErrorCode !== "Stream_ClosingQuoteMissing") throw new Error(`the bad source: ${JSON.stringify(bad)}`);
}

async function main() {
  const client = new ingest.IngestClient(connection());
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "kin-"));
  const file = path.join(folder, "rows.csv");
  fs.writeFileSync(file, csv);
  await client.ingestFromFile(file, properties(ingest.DataFormat.CSV));
  await until(10);
  await client.ingestFromStream(Readable.from([Buffer.from(json)]), properties(ingest.DataFormat.MULTIJSON));
  await until(20);
  await client.ingestFromFile(parquet, properties(ingest.DataFormat.PARQUET));
  await until(30);
  const resources = await kusto.execute("NetDefaultDB", ".get ingestion resources");
  const root = resources.primaryResults[0].toJSON().data.find((row) => row.ResourceTypeName === "TempStorage").StorageRoot;
  const [base, sas] = root.split("?");
  const blob = `${base}/node.csv?${sas}`;
  const put = await fetch(blob, { method: "PUT", headers: { "x-ms-blob-type": "BlockBlob" }, body: csv });
  if (put.status !== 201) throw new Error(`put blob: ${put.status}`);
  await client.ingestFromBlob(blob, properties(ingest.DataFormat.CSV));
  await until(40);
  const descriptor = new ingest.StreamDescriptor(Readable.from([Buffer.from(csv)]));
  await client.ingestFromStream(descriptor, properties(ingest.DataFormat.CSV));
  await until(50);
  const v1 = await kusto.executeQueryV1("NetDefaultDB", `${table} | where id == 3 | take 1`);
  if (v1.primaryResults[0].toJSON().data[0].id !== 3) throw new Error("the v1 result is wrong");
  if (cluster.startsWith("https:")) await tracked(client);
  client.close();
  kusto.close();
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
