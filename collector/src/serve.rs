//! tmp
use std::time::Duration;
use tokio_util::sync::CancellationToken;
#[derive(Default)]
#[allow(missing_docs)]
pub struct ServeOptions { pub header_timeout: Duration }
/// tmp
pub async fn serve(l: tokio::net::TcpListener, app: axum::Router, _o: ServeOptions, drain: CancellationToken, _a: CancellationToken) -> std::io::Result<()> {
    loop { tokio::select!{ () = drain.cancelled() => return Ok(()), c = l.accept() => { let (s,_) = c?; let app = app.clone(); tokio::spawn(async move { let _ = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new()).serve_connection(hyper_util::rt::TokioIo::new(s), hyper_util::service::TowerToHyperService::new(app)).await; }); } } }
}
