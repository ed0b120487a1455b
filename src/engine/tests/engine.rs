//! The engine over a real store on SQLite: faults, doubts, and accounts at rest.

use sea_orm::{ConnectionTrait, DatabaseConnection};

use super::*;
use crate::{
    domain::{
        address::AddressPolicy,
        attempt::retry_policy::{RetryPolicy, Schedule},
        automation::{Method, template::BodySpec},
        caller::{AccountScope, Caller},
        decision::{
            BREAKS_DOWN, DUE_BREAKS_DOWN, EventReply, OUTCOME_BREAKS_DOWN,
            command::{AccountAnswer, NewAction, NewAutomation, NewWebhook, Repeat, Task, Whom},
        },
        event::{Action, RejectionReason},
        id::{ResourceId, WebhookUid},
        plan::{Plan, PlanLimits},
        url::{EndpointUrl, UrlPolicy},
        webhook::{WebhookKind, credentials::Credentials},
    },
    store::{Lease, Location, Sealer},
};

const IDLE_AFTER: Duration = Duration::from_millis(100);

struct Universe {
    _folder: tempfile::TempDir,
    engine: Engine,
    /// Another connection to the store's file.
    other: DatabaseConnection,
    account: AccountId,
}

/// Runs a test in a universe of its own, with one account.
fn in_a_universe<F: Future<Output = ()>>(test: impl FnOnce(Universe) -> F) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    actix::System::new().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("test.db");
        let store = Store::open(
            &Location::Sqlite(path.clone()),
            Lease::of_nobody_else(),
            Sealer::new(&[[1; 32]]).expect("a sealer"),
            false,
            &Metrics::default(),
        )
        .await
        .expect("opens");
        let other = sea_orm::Database::connect(format!("sqlite://{}", path.display())).await.expect("connects");
        let config = EngineConfig {
            rules: Rules {
                plans: PlanLimits::default(),
                breaker_open_ms: 30_000,
                paused_max: 1_000,
                waiting_max: 1_000,
                event_age_max_ms: None,
                paused_age_max_ms: 600_000,
                body_bytes_max: 65_536,
                window_length_ms: 600_000,
                schedule: Schedule { delays_ms: vec![20, 20] },
                is_clock_trusted: true,
            },
            http: HttpConfig {
                deadline: Duration::from_secs(1),
                connect_timeout: Duration::from_secs(1),
                addresses: AddressPolicy::default(),
                dns_servers: Vec::new(),
                ca_file: None,
            },
            requests_in_flight_max: 8,
            audit_kept_ms: 1_000_000,
            misses_bytes_max: 1_000_000,
            recent_events_bytes_max: 1_000_000,
            idle_after: IDLE_AFTER,
        };
        let engine =
            Engine::start(store, config, vec![actix::Arbiter::current()], Spans::default(), Metrics::default())
                .expect("starts");
        let account: AccountId = "42".parse().expect("an id");
        let command = Command {
            caller: Caller::Service { accounts: AccountScope::All },
            task: Task::CreateAccount { plan: Plan::Power },
            repeat: None,
        };
        engine.command(&account, command).await.expect("creates");
        test(Universe { _folder: folder, engine, other, account }).await;
    });
}

impl Universe {
    async fn publish(&self, ids: &[&str]) -> Result<Vec<EventReply>, EngineError> {
        let events = ids.iter().map(|id| Arc::new(Event::sample(id))).collect();
        self.engine.publish(&self.account, events, &Order::default()).await?.done().await
    }

    async fn set_plan(&self) -> Result<CommandReply, EngineError> {
        let caller = Caller::Service { accounts: AccountScope::All };
        let task = Task::SetPlan { plan: Plan::Enterprise, etag: String::new() };
        self.engine.command(&self.account, Command { caller, task, repeat: None }).await
    }

    /// Automations of these names for each event; nothing leads to their endpoint.
    async fn create_automations(&self, names: &[&str]) {
        let admin = || Caller::GlobalAdmin { account: self.account.clone(), user: "1".parse().expect("an id") };
        let call = async |task| {
            let command = Command { caller: admin(), task, repeat: None };
            self.engine.command(&self.account, command).await.expect("is done");
        };
        let webhook = NewWebhook {
            display_name: "hook".into(),
            kind: WebhookKind::Automation,
            // Nothing resolves a label of this length, and nobody has to be asked.
            endpoint: EndpointUrl::parse(&format!("https://{}.invalid/", "a".repeat(64)), &UrlPolicy::default(), true)
                .expect("a URL"),
            credentials: Credentials::None,
            retry: RetryPolicy::default(),
            success: Default::default(),
            requests_per_second: None,
            owner: None,
            subscription: None,
        };
        call(Task::CreateWebhook { id: Some("hook".parse().expect("an id")), webhook }).await;
        for (number, name) in names.iter().enumerate() {
            let automation = NewAutomation {
                display_name: (*name).to_owned(),
                object: "deal".parse().expect("a name"),
                trigger_actions: Action::Change.into(),
                conditions: None,
                actions: vec![NewAction {
                    id: None,
                    webhook: "hook".parse().expect("an id"),
                    method: Method::Post,
                    path: String::new(),
                    body: BodySpec::Raw("{}".into()),
                    headers: Vec::new(),
                    continue_on_failure: false,
                }],
                enabled: true,
            };
            let id: ResourceId = format!("au-{number}").parse().expect("an id");
            call(Task::CreateAutomation { id: Some(id.clone()), automation }).await;
            call(Task::Activate { id, whom: Whom::Everyone }).await;
        }
    }

    /// The reasons of the executions that have ended, in the order of their automations, once so many have.
    async fn reasons(&self, count: usize) -> Vec<String> {
        let ask = async |sql: &str| {
            let asked = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, sql);
            self.other.query_all_raw(asked).await.expect("answers")
        };
        let read = async {
            loop {
                let rows = ask("SELECT source, reason FROM executions WHERE ended_at IS NOT NULL ORDER BY id").await;
                if rows.len() >= count {
                    let mut reasons = Vec::new();
                    for automation in ask("SELECT uid FROM automations ORDER BY id").await {
                        let uid: uuid::Uuid = automation.try_get_by_index(0).expect("a uid");
                        let key = (uid.as_u64_pair().1 & i64::MAX.cast_unsigned()).cast_signed();
                        let of_it =
                            rows.iter().filter(|row| row.try_get_by_index::<i64>(0).is_ok_and(|source| source == key));
                        reasons.extend(of_it.map(|row| row.try_get_by_index::<String>(1).expect("a reason")));
                    }
                    return reasons;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("they end")
    }

    async fn sql(&self, sql: &str) {
        self.other.execute_unprepared(sql).await.expect(sql);
    }
}

#[test]
fn a_fault_turns_one_event_away_and_no_other() {
    in_a_universe(async |universe| {
        let replies = universe.publish(&["a", BREAKS_DOWN, "b"]).await.expect("answers");
        assert_eq!(replies[0], EventReply::Accepted);
        assert!(matches!(&replies[1], EventReply::Rejected(why) if why.reason == RejectionReason::Internal));
        assert_eq!(replies[2], EventReply::Accepted);
        universe.set_plan().await.expect("the account lives on");
    });
}

#[test]
fn no_number_of_faults_grows_the_stack() {
    in_a_universe(async |universe| {
        let replies = universe.publish(&[BREAKS_DOWN; 3_000]).await.expect("answers");
        let is_internal =
            |reply: &EventReply| matches!(reply, EventReply::Rejected(why) if why.reason == RejectionReason::Internal);
        assert!(replies.len() == 3_000 && replies.iter().all(is_internal));
        universe.set_plan().await.expect("the account lives on");
    });
}

#[test]
fn a_fault_in_an_outcome_or_a_due_row_ends_that_execution_and_no_other() {
    in_a_universe(async |universe| {
        universe.create_automations(&[OUTCOME_BREAKS_DOWN, DUE_BREAKS_DOWN, "a good one"]).await;
        assert_eq!(universe.publish(&["a", "b"]).await.expect("answers"), [EventReply::Accepted, EventReply::Accepted]);
        let reasons = universe.reasons(6).await;
        assert_eq!(reasons[..4], ["INTERNAL"; 4]);
        assert!(reasons[4..].iter().all(|reason| reason != "INTERNAL"), "{reasons:?}");
        universe.set_plan().await.expect("the account lives on");
        let landed = tokio::time::timeout(Duration::from_secs(5), universe.engine.all_landed());
        landed.await.expect("no request is under way, and no slot is lost");
        let webhook = WebhookUid(uuid::Uuid::nil());
        assert_eq!(universe.engine.shared.slots.available(&universe.account, webhook).0, 6, "all for slow webhooks");
    });
}

#[test]
fn a_refused_call_leaves_the_account_as_it_is() {
    in_a_universe(async |universe| {
        let again = Command {
            caller: Caller::Service { accounts: AccountScope::All },
            task: Task::CreateAccount { plan: Plan::Power },
            repeat: None,
        };
        let refused = universe.engine.command(&universe.account, again).await;
        assert!(matches!(refused, Err(EngineError::Refused(_))));
        let CommandReply::Fresh(Answer::Account(AccountAnswer { facts, .. })) =
            universe.set_plan().await.expect("decides")
        else {
            panic!("an account")
        };
        assert_eq!(facts.revision, 2, "the next change is the second, without reading the account anew");
    });
}

#[test]
fn a_call_that_is_repeated_many_times_at_once_has_one_effect() {
    in_a_universe(async |universe| {
        let call = || {
            let repeat = Repeat {
                request_id: "key".parse().expect("a key"),
                fingerprint: vec![1],
                encode: Box::new(|_| Some(b"the first answer".to_vec())),
            };
            let caller = Caller::Service { accounts: AccountScope::All };
            let task = Task::SetPlan { plan: Plan::Enterprise, etag: String::new() };
            universe.engine.command(&universe.account, Command { caller, task, repeat: Some(repeat) })
        };
        let answers = futures::future::join_all((0..6).map(|_| call())).await;
        let fresh = answers.iter().filter(|answer| matches!(answer, Ok(CommandReply::Fresh(_)))).count();
        let repeated = answers.iter().filter(|answer| matches!(answer, Ok(CommandReply::Repeated(_)))).count();
        assert_eq!((fresh, repeated), (1, 5));
    });
}

#[test]
fn an_account_that_was_changed_elsewhere_is_read_anew() {
    in_a_universe(async |universe| {
        universe.sql("UPDATE accounts SET revision = revision + 5").await;
        let CommandReply::Fresh(Answer::Account(AccountAnswer { facts, .. })) =
            universe.set_plan().await.expect("decides anew")
        else {
            panic!("an account")
        };
        assert!(facts.revision > 6, "decided on what is in the database: {}", facts.revision);
    });
}

#[test]
fn after_a_doubt_callers_are_told_and_the_account_is_read_anew() {
    in_a_universe(async |universe| {
        universe.sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)").await;
        universe.sql("CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)").await;
        universe
            .sql("CREATE TRIGGER doubt AFTER UPDATE OF plan ON accounts BEGIN INSERT INTO child VALUES (1); END")
            .await;
        assert!(matches!(universe.set_plan().await, Err(EngineError::Unavailable { .. })));
        universe.sql("DROP TRIGGER doubt").await;
        universe.set_plan().await.expect("the account is read anew and goes on");
    });
}

#[test]
fn an_idle_account_leaves_the_memory_and_comes_back() {
    in_a_universe(async |universe| {
        assert!(universe.engine.is_awake(&universe.account));
        let mut ticks = tokio::time::interval(IDLE_AFTER / 4);
        let gone = async {
            while universe.engine.is_awake(&universe.account) {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("leaves");
        assert!(universe.engine.shared.lock().is_empty(), "nothing of it is kept");
        assert_eq!(universe.publish(&["a"]).await.expect("answers"), [EventReply::Accepted]);
    });
}
