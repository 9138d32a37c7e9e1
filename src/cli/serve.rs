//! `codeintel serve`: answers over HTTP.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::Context;
use crate::base::config::help;
use crate::base::error::{Error, Result};
use crate::base::telemetry::TelemetryConfig;
use crate::http::{listen, metrics_router, router, serve, threads_max};
use crate::mcp;
use crate::tools::{App, ToolSet};

/// The interval at which CURRENT is read.
const REFRESH: Duration = Duration::from_millis(500);
/// Time limit for requests in flight after the signal to stop.
const DRAIN: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub struct ServeArgs {
    #[arg(long, value_name = "HOST:PORT", help = help("serve.address"))]
    pub address: Option<String>,
}

pub fn run(cx: Context, config: &TelemetryConfig) -> Result<()> {
    let app = cx.app;
    let tools = ToolSet::parse(&app.settings().serve.tools)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(threads_max(&app.settings().serve))
        .build()
        .map_err(Error::library("tokio", "start"))?;
    let result = runtime.block_on(async {
        let (listener, address) = listen(&app.settings().serve.address).await?;
        eprintln!("listening on http://{address}, index in {}", app.data().path().display());
        if let Some(scraped) = &config.prometheus_address {
            let (listener, address) = listen(scraped).await?;
            eprintln!("metrics on http://{address}/metrics");
            // The listener runs until the runtime ends, so that the last requests can still be
            // scraped.
            let router = metrics_router(app.telemetry().clone());
            tokio::spawn(serve(listener, router, std::future::pending()));
        }
        tokio::task::spawn_blocking({
            let app = app.clone();
            move || app.warm(|| app.start_warm_engine())
        });
        tokio::spawn(refresh(app.clone()));
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let stop = async move {
            wait_for_signal().await;
            let _ = stopping.send(());
        };
        // Requests in flight are finished within a time limit.
        let drained = async move {
            let _ = stopped.await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            result = serve(listener, router(app.clone(), mcp::route(&app, tools)), stop) => result,
            () = drained => Ok(()),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Follows the published version: at once on SIGHUP, else within [`REFRESH`].
async fn refresh(app: App) {
    let mut hangup = signal(SignalKind::hangup()).ok();
    loop {
        let signalled = async {
            match &mut hangup {
                Some(signal) => {
                    signal.recv().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => {}
            () = signalled => {}
        }
        let app = app.clone();
        let _ = tokio::task::spawn_blocking(move || app.refresh()).await;
    }
}

async fn wait_for_signal() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    eprintln!("stopping: requests in flight are answered first");
}
