// Ingests with the unmodified Java client by file, stream, result set and blob, queued,
// streaming and managed, waits for the status table, and reads every type back.

import com.microsoft.azure.kusto.data.Client;
import com.microsoft.azure.kusto.data.ClientFactory;
import com.microsoft.azure.kusto.data.KustoResultSetTable;
import com.microsoft.azure.kusto.data.auth.ConnectionStringBuilder;
import com.microsoft.azure.kusto.data.exceptions.DataServiceException;
import com.microsoft.azure.kusto.ingest.ColumnMapping;
import com.microsoft.azure.kusto.ingest.IngestClient;
import com.microsoft.azure.kusto.ingest.IngestClientFactory;
import com.microsoft.azure.kusto.ingest.IngestionMapping.IngestionMappingKind;
import com.microsoft.azure.kusto.ingest.IngestionProperties;
import com.microsoft.azure.kusto.ingest.IngestionProperties.DataFormat;
import com.microsoft.azure.kusto.ingest.result.IngestionResult;
import com.microsoft.azure.kusto.ingest.result.IngestionStatus;
import com.microsoft.azure.kusto.ingest.result.OperationStatus;
import com.microsoft.azure.kusto.ingest.source.BlobSourceInfo;
import com.microsoft.azure.kusto.ingest.source.FileSourceInfo;
import com.microsoft.azure.kusto.ingest.source.StreamSourceInfo;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

public class JavaClient {
    private static final String DATABASE = "NetDefaultDB";
    private final String url;
    private final String table;
    private final Client data;
    private long expected = 0;

    private JavaClient(String url, String table) throws Exception {
        this.url = url;
        this.table = table;
        this.data = ClientFactory.createClient(connection());
    }

    private ConnectionStringBuilder connection() {
        return new ConnectionStringBuilder(url);
    }

    private static String csv() {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 10; i++) {
            text.append(i).append(",name ").append(i).append(',').append(i / 2.0).append('\n');
        }
        return text.toString();
    }

    private static StreamSourceInfo stream(String text) {
        InputStream bytes = new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8));
        return new StreamSourceInfo(bytes);
    }

    private IngestionProperties properties(DataFormat format) {
        IngestionProperties properties = new IngestionProperties(DATABASE, table);
        properties.setDataFormat(format);
        return properties;
    }

    private IngestionProperties tracked(DataFormat format) {
        IngestionProperties properties = properties(format);
        properties.setReportLevel(IngestionProperties.IngestionReportLevel.FAILURES_AND_SUCCESSES);
        properties.setReportMethod(IngestionProperties.IngestionReportMethod.TABLE);
        return properties;
    }

    private long rows() throws Exception {
        KustoResultSetTable result = data.executeQuery(DATABASE, table + " | count").getPrimaryResults();
        result.next();
        return result.getLong(0);
    }

    /** Waits until so many more rows are there, and no others. */
    private void grows(long by, String what) throws Exception {
        expected += by;
        for (int turn = 0; turn < 150 && rows() < expected; turn++) {
            Thread.sleep(200);
        }
        require(rows() == expected, what + ": " + rows() + " rows, " + expected + " expected");
        System.out.println("ok " + what);
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalStateException(otherwise);
        }
    }

    private static IngestionStatus outcome(IngestionResult result) throws Exception {
        for (int turn = 0; turn < 150; turn++) {
            IngestionStatus status = result.getIngestionStatusCollection().get(0);
            if (status.status != OperationStatus.Pending) {
                return status;
            }
            Thread.sleep(200);
        }
        throw new IllegalStateException("no outcome");
    }

    /** Puts a blob into a container that the service hands out. */
    private String blob() throws Exception {
        KustoResultSetTable resources = data.executeMgmt(DATABASE, ".show ingestion resources").getPrimaryResults();
        while (resources.next()) {
            if (!resources.getString(0).equals("TempStorage")) {
                continue;
            }
            String blob = resources.getString(1).replace("?", "/java.csv?");
            HttpRequest put = HttpRequest.newBuilder(URI.create(blob)).header("x-ms-blob-type", "BlockBlob")
                    .PUT(HttpRequest.BodyPublishers.ofString(csv())).build();
            int status = HttpClient.newHttpClient().send(put, HttpResponse.BodyHandlers.ofString()).statusCode();
            require(status == 201, "put blob: " + status);
            return blob;
        }
        throw new IllegalStateException("no container");
    }

    private void queued(String file) throws Exception {
        try (IngestClient client = IngestClientFactory.createClient(connection())) {
            IngestionResult result = client.ingestFromFile(new FileSourceInfo(file), tracked(DataFormat.CSV));
            IngestionStatus status = outcome(result);
            require(status.status == OperationStatus.Succeeded, "the file: " + status.status + " " + status.details);
            grows(10, "queued file, status by table");
            client.ingestFromStream(stream(csv()), properties(DataFormat.CSV));
            grows(10, "queued stream");
            client.ingestFromStream(stream("{\"id\":1,\"name\":\"j\",\"v\":1}\n{\"id\":2}\n"), properties(DataFormat.MULTIJSON));
            grows(2, "queued json");
            IngestionProperties mapped = properties(DataFormat.CSV);
            ColumnMapping id = new ColumnMapping("id", "long");
            id.setOrdinal(0);
            mapped.setIngestionMapping(new ColumnMapping[] {id}, IngestionMappingKind.CSV);
            client.ingestFromStream(stream(csv()), mapped);
            grows(10, "queued with an inline mapping");
            client.ingestFromBlob(new BlobSourceInfo(blob()), properties(DataFormat.CSV));
            grows(10, "queued blob");
            IngestionProperties once = tracked(DataFormat.CSV);
            once.setIngestByTags(List.of("java"));
            once.setIngestIfNotExists(List.of("java"));
            client.ingestFromStream(stream(csv()), once);
            grows(10, "queued, if it does not exist");
            IngestionStatus skipped = outcome(client.ingestFromStream(stream(csv()), once));
            require(skipped.status == OperationStatus.Skipped, "the second is " + skipped.status);
            grows(0, "queued, skipped since it exists");
            IngestionStatus failed = outcome(client.ingestFromStream(stream("1,\"a\n"), tracked(DataFormat.CSV)));
            require(failed.status == OperationStatus.Failed, "the broken source is " + failed.status);
            require("Stream_ClosingQuoteMissing".equals(failed.errorCodeString), "its code is " + failed.errorCodeString);
            grows(0, "queued, failure by table");
        }
    }

    private void streamed(String file, IngestClient client, String kind) throws Exception {
        try (client) {
            client.ingestFromFile(new FileSourceInfo(file), properties(DataFormat.CSV));
            grows(10, kind + " file");
            client.ingestFromStream(stream(csv()), properties(DataFormat.CSV));
            grows(10, kind + " stream");
            client.ingestFromBlob(new BlobSourceInfo(blob()), properties(DataFormat.CSV));
            grows(10, kind + " blob");
        }
    }

    private void types() throws Exception {
        KustoResultSetTable row = data.executeQuery(DATABASE, "print b=true, i=int(-1), l=9007199254740993, r=1.5, "
                + "d=decimal(2.00000000000001), s='a\"\u00fc', g=guid(74be27de-1e4e-49d9-b579-fe0b331d3642), "
                + "t=datetime(2014-01-01T01:01:01.0000001Z), ts=1d, dy=dynamic([1]), n=long(null)").getPrimaryResults();
        row.next();
        require(row.getBoolean("b") && row.getInt("i") == -1 && row.getLong("l") == 9007199254740993L, "integers");
        require(row.getDouble("r") == 1.5 && row.getBigDecimal("d").toPlainString().equals("2.00000000000001"), "reals");
        require(row.getString("s").equals("a\"\u00fc"), row.getString("s"));
        require(row.getUUID("g").toString().equals("74be27de-1e4e-49d9-b579-fe0b331d3642"), "guid");
        require(row.getKustoDateTime("t").toString().equals("2014-01-01T01:01:01.000000100"), row.getKustoDateTime("t").toString());
        require(String.valueOf(row.getObject("dy")).equals("[1]"), String.valueOf(row.getObject("dy")));
        require(row.getLongObject("n") == null, "null");
        try {
            data.executeQuery(DATABASE, "NoSuchTable | count");
            throw new IllegalStateException("an unknown table was found");
        } catch (DataServiceException error) {
            require(error.isPermanent() && error.getCause().getMessage().contains("Semantic error"), error.getCause().getMessage());
        }
        System.out.println("ok types");
    }

    public static void main(String[] arguments) throws Exception {
        JavaClient program = new JavaClient(arguments[0], arguments[1]);
        Path file = Files.createTempFile("kin", ".csv");
        Files.writeString(file, csv());
        program.queued(file.toString());
        program.streamed(file.toString(), IngestClientFactory.createStreamingIngestClient(program.connection()), "streamed");
        program.streamed(file.toString(), IngestClientFactory.createManagedStreamingIngestClient(program.connection()), "managed");
        program.types();
        Files.delete(file);
        System.exit(0);
    }
}
