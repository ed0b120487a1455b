use tokio::sync::Semaphore;

use super::*;
use crate::domain::{
    caller::{AccountScope, Caller},
    decision::command::{Answer, Done, Task},
    plan::Plan,
};

type Told = oneshot::Receiver<Result<Vec<EventReply>, EngineError>>;

struct Bench {
    queue: Queue,
    places: Arc<Semaphore>,
    order: Order,
}

impl Bench {
    fn new() -> Self {
        Self { queue: Queue::default(), places: Arc::new(Semaphore::new(100)), order: Order::default() }
    }

    fn wait(&self) -> Wait {
        Wait::new(Instant::now(), Arc::clone(&self.places).try_acquire_owned().expect("a place"))
    }

    fn publish(&mut self, ids: &[&str]) -> Told {
        let (reply, answer) = oneshot::channel();
        let events = ids.iter().map(|id| Arc::new(Event::sample(id))).collect();
        let (order, wait) = (self.order.clone(), self.wait());
        self.queue.push_events(Events { events, replies: Vec::new(), order, reply, wait });
        answer
    }

    fn call(&mut self) -> oneshot::Receiver<Result<CommandReply, EngineError>> {
        let (reply, answer) = oneshot::channel();
        let caller = Caller::Service { accounts: AccountScope::All };
        let command = Arc::new(Command { caller, task: Task::CreateAccount { plan: Plan::Power }, repeat: None });
        let wait = self.wait();
        self.queue.push_call(Call { command, is_new: true, execution: Subject::Unread, reply, wait });
        answer
    }

    /// What the next decision takes: calls and events.
    fn kinds(&mut self) -> Vec<&'static str> {
        let kind = |input: &Input| match input {
            Input::Command(..) => "call",
            Input::Event(_) => "event",
            _ => "other",
        };
        self.queue.batch().iter().map(kind).collect()
    }

    fn answer(&mut self, reply: &Reply, count: usize) {
        self.queue.hand_out(vec![reply.clone(); count], &Metrics::default());
    }
}

#[test]
fn calls_and_events_take_turns_and_keep_theirs_until_they_are_answered() {
    let mut bench = Bench::new();
    let _told = [bench.publish(&["a", "b"]), bench.publish(&["c"])];
    let _answered = [bench.call(), bench.call()];
    assert_eq!(bench.kinds(), ["event", "event", "event"]);
    bench.answer(&Reply::Event(EventReply::Accepted), 2);
    assert_eq!(bench.kinds(), ["call"], "whoever publishes does not hold up calls");
    // The journal has found another revision: nobody was answered.
    bench.answer(&Reply::None, 0);
    assert_eq!(bench.kinds(), ["call"], "it is its turn still");
    bench.answer(&Reply::Command(Ok(Answer::Done(Done))), 1);
    assert_eq!(bench.kinds(), ["event"], "nor do calls hold up events");
    bench.answer(&Reply::None, 0);
    assert_eq!(bench.kinds(), ["event"]);
    bench.answer(&Reply::Event(EventReply::Accepted), 1);
    assert_eq!(bench.kinds(), ["call"]);
}

#[test]
fn once_events_were_turned_away_none_behind_them_is_taken() {
    let mut bench = Bench::new();
    let (mut first, mut second, mut third) = (bench.publish(&["a"]), bench.publish(&["bad"]), bench.publish(&["c"]));
    let error = EngineError::Unavailable { why: "a reason".to_owned(), retry_after: Duration::from_secs(1) };
    bench.queue.refuse_events(|event| event.id.as_str() == "bad", &error);
    let is_refused = |told: &mut Told| matches!(told.try_recv(), Ok(Err(EngineError::Unavailable { .. })));
    assert!(first.try_recv().is_err(), "what came before goes on");
    assert!(is_refused(&mut second) && is_refused(&mut third));
    let mut later = bench.publish(&["d"]);
    assert!(is_refused(&mut later), "also what comes only now");
    bench.order = Order::default();
    let mut anew = bench.publish(&["bad"]);
    assert!(anew.try_recv().is_err(), "sent again it is decided again");
    assert_eq!(bench.kinds(), ["event", "event"]);
}
