// Ingests with the unmodified Go client by file, reader and blob, queued, streaming and
// managed, waits for the status table, and reads every type back.
package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/Azure/azure-kusto-go/azkustodata"
	"github.com/Azure/azure-kusto-go/azkustodata/kql"
	"github.com/Azure/azure-kusto-go/azkustoingest"
)

const database = "NetDefaultDB"

var ctx = context.Background()

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func csv() string {
	var text strings.Builder
	for i := 0; i < 10; i++ {
		fmt.Fprintf(&text, "%d,name %d,%v\n", i, i, float64(i)/2)
	}
	return text.String()
}

// A program of the test: everything against one cluster URL and one table.
type program struct {
	url, table string
	data       *azkustodata.Client
	expected   int64
}

func (p *program) connection() *azkustodata.ConnectionStringBuilder {
	return azkustodata.NewConnectionStringBuilder(p.url)
}

func (p *program) statement(text string) *kql.Builder {
	return kql.New("").AddUnsafe(text)
}

func (p *program) rows() int64 {
	result := must(p.data.Query(ctx, database, p.statement(p.table+" | count")))
	return *must(result.Tables()[0].Rows()[0].LongByIndex(0))
}

// Waits until so many more rows are there, and no others.
func (p *program) grows(by int64, what string) {
	p.expected += by
	for turn := 0; turn < 150 && p.rows() < p.expected; turn++ {
		time.Sleep(200 * time.Millisecond)
	}
	if rows := p.rows(); rows != p.expected {
		panic(fmt.Sprintf("%s: %d rows, %d expected", what, rows, p.expected))
	}
	fmt.Println("ok", what)
}

func (p *program) options(format azkustoingest.DataFormat, more ...azkustoingest.FileOption) []azkustoingest.FileOption {
	options := []azkustoingest.FileOption{azkustoingest.Database(database), azkustoingest.Table(p.table), azkustoingest.FileFormat(format)}
	return append(options, more...)
}

// Puts a blob into a container that the service hands out.
func (p *program) blob() string {
	resources := must(p.data.Mgmt(ctx, database, p.statement(".get ingestion resources")))
	for _, row := range resources.Tables()[0].Rows() {
		root := must(row.StringByIndex(1))
		if must(row.StringByIndex(0)) != "TempStorage" {
			continue
		}
		base, sas, _ := strings.Cut(root, "?")
		url := base + "/go.csv?" + sas
		request := must(http.NewRequest(http.MethodPut, url, strings.NewReader(csv())))
		request.Header.Set("x-ms-blob-type", "BlockBlob")
		answer := must(http.DefaultClient.Do(request))
		if answer.StatusCode != http.StatusCreated {
			panic(answer.Status)
		}
		return url
	}
	panic("no container")
}

func (p *program) queued(file string) {
	client := must(azkustoingest.New(p.connection(), azkustoingest.WithoutEndpointCorrection()))
	defer client.Close()
	tracked := azkustoingest.ReportResultToTable()
	result := must(client.FromFile(ctx, file, p.options(azkustoingest.CSV, tracked, azkustoingest.FlushImmediately())...))
	check(<-result.Wait(ctx))
	p.grows(10, "queued file, status by table")
	must(client.FromReader(ctx, strings.NewReader(csv()), p.options(azkustoingest.CSV)...))
	p.grows(10, "queued reader")
	lines := "{\"id\":1,\"name\":\"j\",\"v\":1}\n{\"id\":2,\"name\":\"k\",\"v\":2}\n"
	must(client.FromReader(ctx, strings.NewReader(lines), p.options(azkustoingest.MultiJSON)...))
	p.grows(2, "queued json")
	mapping := `[{"column":"id","datatype":"long","Properties":{"Ordinal":"0"}}]`
	must(client.FromReader(ctx, strings.NewReader(csv()), azkustoingest.Database(database), azkustoingest.Table(p.table),
		azkustoingest.IngestionMapping(mapping, azkustoingest.CSV)))
	p.grows(10, "queued with an inline mapping")
	must(client.FromFile(ctx, p.blob(), p.options(azkustoingest.CSV)...))
	p.grows(10, "queued blob")
	// Uncompressed, in blocks of the client's own.
	must(client.FromReader(ctx, bytes.NewReader(bytes.Repeat([]byte(csv()), 1000)), p.options(azkustoingest.CSV, azkustoingest.DontCompress())...))
	p.grows(10000, "queued reader in blocks")
	once := []azkustoingest.FileOption{azkustoingest.Tags([]string{"ingest-by:go"}), azkustoingest.IfNotExists("go")}
	must(client.FromReader(ctx, strings.NewReader(csv()), p.options(azkustoingest.CSV, once...)...))
	p.grows(10, "queued, if it does not exist")
	again := must(client.FromReader(ctx, strings.NewReader(csv()), p.options(azkustoingest.CSV, append(once, tracked)...)...))
	status, err := azkustoingest.GetIngestionStatus(<-again.Wait(ctx))
	if err != nil || status != azkustoingest.Skipped {
		panic(fmt.Sprintf("the second is %v, %v", status, err))
	}
	p.grows(0, "queued, skipped since it exists")
	broken := must(client.FromReader(ctx, strings.NewReader("1,\"a\n"), p.options(azkustoingest.CSV, tracked)...))
	err = <-broken.Wait(ctx)
	code, problem := azkustoingest.GetErrorCode(err)
	if problem != nil || code != "Stream_ClosingQuoteMissing" {
		panic(fmt.Sprintf("the broken source: %v, %v, %v", code, problem, err))
	}
	if azkustoingest.IsRetryable(err) {
		panic("an unclosed quote is no transient failure")
	}
	p.grows(0, "queued, failure by table")
}

func (p *program) streaming(file string) {
	client := must(azkustoingest.NewStreaming(p.connection(), azkustoingest.WithoutEndpointCorrection()))
	defer client.Close()
	must(client.FromFile(ctx, file, p.options(azkustoingest.CSV)...))
	p.grows(10, "streamed file")
	must(client.FromReader(ctx, strings.NewReader(csv()), p.options(azkustoingest.CSV)...))
	p.grows(10, "streamed reader")
	must(client.FromFile(ctx, p.blob(), p.options(azkustoingest.CSV)...))
	p.grows(10, "streamed blob")
}

func (p *program) managed(file string) {
	client := must(azkustoingest.NewManaged(p.connection(), azkustoingest.WithCustomIngestConnectionString(p.connection())))
	defer client.Close()
	must(client.FromFile(ctx, file, p.options(azkustoingest.CSV)...))
	p.grows(10, "managed file")
	must(client.FromReader(ctx, strings.NewReader(csv()), p.options(azkustoingest.CSV)...))
	p.grows(10, "managed reader")
}

// A URL with `ingest-` in it is one that the client leaves as it is.
func (p *program) prefixed() {
	builder := azkustodata.NewConnectionStringBuilder(p.url + "/ingest-local")
	client := must(azkustoingest.New(builder))
	defer client.Close()
	must(client.FromReader(ctx, strings.NewReader(csv()), p.options(azkustoingest.CSV)...))
	p.grows(10, "queued by the path prefix")
}

func (p *program) types() {
	query := `print b=true, i=int(-1), l=9007199254740993, r=1.5, d=decimal(2.00000000000001), s="a\"ü", g=guid(74be27de-1e4e-49d9-b579-fe0b331d3642),
		t=datetime(2014-01-01T01:01:01.0000001Z), ts=1d, dy=dynamic([1,{"a":null}]), nb=bool(null), nl=long(null), nt=datetime(null)`
	result := must(p.data.Query(ctx, database, p.statement(query)))
	row := result.Tables()[0].Rows()[0]
	text := row.String()
	for _, part := range []string{"true", "-1", "9007199254740993", "1.5", "2.00000000000001", "\"a\"\"ü\"", "74be27de-1e4e-49d9-b579-fe0b331d3642", "2014-01-01T01:01:01.0000001Z", "24h0m0s"} {
		if !strings.Contains(text, part) {
			panic(fmt.Sprintf("%q is not in %s", part, text))
		}
	}
	if nothing := must(row.LongByIndex(11)); nothing != nil {
		panic("a null is not null")
	}
	two := must(p.data.Query(ctx, database, p.statement("print 1; print 2, 'x'")))
	primary := 0
	for _, table := range two.Tables() {
		if table.IsPrimaryResult() {
			primary++
		}
	}
	if primary != 2 {
		panic(fmt.Sprintf("%d primary results", primary))
	}
	if _, err := p.data.Query(ctx, database, p.statement("NoSuchTable | count")); err == nil || !strings.Contains(err.Error(), "Semantic error") {
		panic(fmt.Sprintf("an unknown table gives %v", err))
	}
	many := must(p.data.IterativeQuery(ctx, database, p.statement(p.table+" | take 5000")))
	count := 0
	for table := range many.Tables() {
		check(table.Err())
		if !table.Table().IsPrimaryResult() {
			continue
		}
		for row := range table.Table().Rows() {
			check(row.Err())
			count++
		}
	}
	if count != 5000 {
		panic(fmt.Sprintf("%d rows came one by one", count))
	}
	fmt.Println("ok types")
}

func main() {
	p := &program{url: os.Args[1], table: os.Args[2]}
	p.data = must(azkustodata.New(p.connection()))
	defer p.data.Close()
	folder := must(os.MkdirTemp("", "kin-"))
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "rows.csv")
	check(os.WriteFile(file, []byte(csv()), 0o600))
	p.queued(file)
	p.streaming(file)
	p.managed(file)
	p.prefixed()
	p.types()
}
