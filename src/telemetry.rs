//! Log lines: a sentence and dotted fields, to standard error.

use tracing_subscriber::EnvFilter;

/// Starts logging; `RUST_LOG` overrides the level.
pub fn init(level: &str) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},sqlx=warn,sea_orm_migration=warn")));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
