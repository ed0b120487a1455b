//! The service through its port: a real process, a real receiver, real databases.

mod activation;
mod attack;
mod audit;
mod backup;
mod canary;
mod catalogue;
mod chart;
mod clients;
mod clocks;
mod command_line;
mod crash;
mod delivery;
mod docs;
mod doors;
mod endpoints;
mod explain;
mod failures;
mod fairness;
mod faults;
mod files;
mod filters;
mod harness;
mod history;
mod identities;
mod layers;
mod limits;
mod loops;
mod notices;
mod operations;
mod pace;
mod paths;
mod pipes;
mod refusals;
mod regular;
mod replay;
mod requests;
mod reruns;
mod retention;
mod secrets;
mod start;
mod story;
mod strangers;
mod traces;
mod trials;
mod unreadable;
mod upgrade;
mod watch;
mod web;
mod web_clients;
mod web_port;

/// Runs a test on SQLite and on PostgreSQL.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::harness::Database::sqlite()).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::harness::Database::postgres().await).await;
            })+
        }
    };
}
pub(crate) use on_both_databases;
