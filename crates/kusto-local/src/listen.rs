//! The front door: one port that takes http and https, told apart by the first byte, and
//! HTTP/1 and HTTP/2 on both. A stop lets the requests that run end first.

use crate::http::Peer;
use crate::state::State;
use crate::tls::Authority;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_util::sync::CancellationToken;

/// Connections at once; more wait in the system's queue.
const CONNECTIONS: usize = 8192;
/// How long a client may take to say what it wants: its first byte, its TLS greeting, the
/// head of a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a stop waits for the requests that run.
const FAREWELL: Duration = Duration::from_secs(10);
/// The first byte of a TLS greeting.
const HANDSHAKE: u8 = 0x16;

/// Takes connections until the stop, then lets the open requests end.
pub(crate) async fn serve(
    listener: TcpListener,
    authority: Arc<Authority>,
    state: Arc<State>,
    stop: CancellationToken,
) {
    let open = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async {
                let permit = room.clone().acquire_owned().await;
                (listener.accept().await, permit)
            } => accepted,
        };
        let (stream, permit) = match accepted {
            (Ok((stream, _)), Ok(permit)) => (stream, permit),
            (Err(error), _) => {
                // Out of files, or a client that went away: the next may do.
                tracing::warn!(%error, "a connection cannot be taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            (_, Err(_)) => break,
        };
        let (authority, state, watcher) = (authority.clone(), state.clone(), open.watcher());
        tokio::spawn(async move {
            greet(stream, &authority, state, watcher).await;
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(FAREWELL, open.shutdown()).await.is_err() {
        tracing::warn!("requests were still running at the stop");
    }
}

async fn greet(stream: TcpStream, authority: &Authority, state: Arc<State>, watcher: Watcher) {
    // Small answers are not held back; a socket that refuses this works all the same.
    let _kept = stream.set_nodelay(true);
    let mut first = [0];
    let Ok(Ok(1)) = tokio::time::timeout(PATIENCE, stream.peek(&mut first)).await else { return };
    if first[0] != HANDSHAKE {
        converse(stream, Peer::Plain, state, watcher).await;
        return;
    }
    let address = stream.local_addr().map(|address| address.ip().to_string());
    let secured = tokio::time::timeout(PATIENCE, async {
        let greeting = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        // A client that goes to an address names no host.
        let name = match greeting.client_hello().server_name() {
            Some(name) => name.to_owned(),
            None => address?,
        };
        let settings = authority.settings(&name).map_err(std::io::Error::other)?;
        greeting.into_stream(settings).await
    });
    match secured.await {
        Ok(Ok(stream)) => converse(stream, Peer::Secure, state, watcher).await,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS greeting failed; does the client trust the authority?")
        }
        Err(_) => tracing::debug!("a TLS greeting took too long"),
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    state: Arc<State>,
    watcher: Watcher,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (state, mut request): (_, Request) = (state.clone(), request.map(Body::new));
        request.extensions_mut().insert(peer);
        async move { Ok::<_, Infallible>(crate::http::serve(state, request).await) }
    });
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(PATIENCE);
    let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error = error.as_ref(), "a connection ended early");
    }
}
