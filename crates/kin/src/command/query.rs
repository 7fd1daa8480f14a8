//! `kin query`.

use crate::arguments::{Query, QueryOutput};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::printer;
use kusto_wire::ResultTable;

pub(crate) async fn run(arguments: Query) -> Result<(), Failure> {
    let cluster = Cluster::open(&arguments.target).await?;
    let database = arguments.target.database.as_str();
    let answer: Result<Vec<ResultTable>, kusto_ingest::Error> =
        if arguments.text.trim_start().starts_with('.') {
            cluster
                .client
                .management(database, &arguments.text)
                .await
                .map(|set| set.tables.into_iter().take(1).collect())
        } else {
            cluster.client.query(database, &arguments.text).await.map(|set| set.tables)
        };
    cluster.close().await;
    for table in answer? {
        match arguments.output {
            QueryOutput::Table => printer::table(&table),
            QueryOutput::Csv => printer::csv(&table),
            QueryOutput::Json => printer::json_rows(&table),
        }
    }
    Ok(())
}
