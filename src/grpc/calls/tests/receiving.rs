use tokio_stream::StreamExt;

use super::*;

const MAX: usize = 1_000;

fn body(chunks: Vec<Vec<u8>>, is_stream: bool, budget: &Arc<Semaphore>) -> ReceivingBody {
    let chunks = tokio_stream::iter(chunks).map(Ok::<_, std::io::Error>);
    let endless = chunks.chain(tokio_stream::pending());
    let method = MethodBounds { bytes_max: MAX, whole_bytes_max: MAX, is_stream };
    let budgets = vec![Arc::clone(budget)];
    ReceivingBody::new(Body::from_stream(endless), method, Framing::Prefixed, budgets, Duration::from_secs(10))
}

fn message(length: u32, given: usize) -> Vec<u8> {
    [&[0][..], &length.to_be_bytes(), &vec![7; given]].concat()
}

async fn next(body: &mut ReceivingBody) -> Result<Option<usize>, tonic::Code> {
    let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
    match tokio::time::timeout(Duration::from_secs(60), frame).await {
        Err(_) => Ok(None),
        Ok(None) => Ok(Some(0)),
        Ok(Some(Ok(frame))) => Ok(frame.data_ref().map(Bytes::len)),
        Ok(Some(Err(status))) => Err(status.code()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_says_it_is_too_long_ends_the_call_at_once() {
    let budget = Arc::new(Semaphore::new(10_000));
    let mut large = body(vec![message(1_001, 1)], true, &budget);
    assert_eq!(next(&mut large).await, Err(tonic::Code::OutOfRange));
    let mut fits = body(vec![message(1_000, 1_000), message(3, 3)], true, &budget);
    assert_eq!(next(&mut fits).await, Ok(Some(1_005)));
    assert_eq!(next(&mut fits).await, Ok(Some(8)));
    // A prefix in pieces, and the second message of a piece.
    let whole = [message(2, 2), message(5_000, 0)].concat();
    let mut pieces = body(whole.chunks(3).map(<[u8]>::to_vec).collect(), true, &budget);
    let mut last = Ok(Some(1));
    while matches!(last, Ok(Some(count)) if count > 0) {
        last = next(&mut pieces).await;
    }
    assert_eq!(last, Err(tonic::Code::OutOfRange));
}

#[tokio::test(start_paused = true)]
async fn a_half_sent_message_ends_and_gives_back_its_room() {
    let budget = Arc::new(Semaphore::new(1_500));
    let mut half = body(vec![message(1_000, 10)], true, &budget);
    assert_eq!(next(&mut half).await, Ok(Some(15)));
    assert_eq!(budget.available_permits(), 510, "the rest of the message has its room");
    let mut waiting = body(vec![message(1_000, 10)], true, &budget);
    let (first, second) = tokio::join!(next(&mut half), next(&mut waiting));
    assert_eq!(first, Err(tonic::Code::DeadlineExceeded));
    assert!(second.is_err(), "whoever waits for room in vain is told, too");
    assert_eq!(budget.available_permits(), 1_500);
}

/// Pieces that never end between messages, as a proxy makes them: each message has its own room and its own time.
#[tokio::test(start_paused = true)]
async fn pieces_that_straddle_messages_change_nothing() {
    let budget = Arc::new(Semaphore::new(1_500));
    // The end of a small message and the beginning of a large one in one piece.
    let pieces = vec![message(10, 4), [&[7; 6][..], &message(1_000, 10)].concat()];
    let mut straddling = body(pieces, true, &budget);
    assert_eq!(next(&mut straddling).await, Ok(Some(9)));
    assert_eq!(budget.available_permits(), 1_494);
    assert_eq!(next(&mut straddling).await, Ok(Some(21)));
    assert_eq!(budget.available_permits(), 510, "the large one has room of its own");

    // A message every four seconds, for a minute, cut three bytes off its beginning.
    let whole: Vec<u8> = (0..15).flat_map(|_| message(20, 20)).collect();
    let pieces: Vec<_> = [&whole[..22]].into_iter().chain(whole[22..].chunks(25)).map(<[u8]>::to_vec).collect();
    let count = pieces.len();
    let slow = tokio_stream::iter(pieces).map(Ok::<_, std::io::Error>).throttle(Duration::from_secs(4));
    let method = MethodBounds { bytes_max: MAX, whole_bytes_max: MAX, is_stream: true };
    let mut slow = ReceivingBody::new(
        Body::from_stream(slow),
        method,
        Framing::Prefixed,
        vec![Arc::clone(&budget)],
        Duration::from_secs(10),
    );
    for _ in 0..count {
        assert!(matches!(next(&mut slow).await, Ok(Some(bytes)) if bytes > 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_silent_between_messages_and_a_call_may_not() {
    let budget = Arc::new(Semaphore::new(1_500));
    let mut stream = body(vec![message(3, 3)], true, &budget);
    assert_eq!(next(&mut stream).await, Ok(Some(8)));
    assert_eq!(next(&mut stream).await, Ok(None), "nothing comes, nothing ends");
    let mut call = body(vec![], false, &budget);
    assert_eq!(next(&mut call).await, Err(tonic::Code::DeadlineExceeded));
}

/// A body that is one message holds what is still to come of it, and is too large as soon as it says so.
#[tokio::test(start_paused = true)]
async fn a_whole_body_has_one_room_and_one_time() {
    let whole = |body: Body, budget: &Arc<Semaphore>| {
        let method = MethodBounds { bytes_max: 10, whole_bytes_max: MAX, is_stream: false };
        ReceivingBody::new(body, method, Framing::Whole, vec![Arc::clone(budget)], Duration::from_secs(10))
    };
    let budget = Arc::new(Semaphore::new(10_000));
    let mut fits = whole(Body::from(vec![b' '; MAX]), &budget);
    assert_eq!(next(&mut fits).await, Ok(Some(MAX)));
    assert_eq!(next(&mut fits).await, Ok(Some(0)));
    let mut large = whole(Body::from(vec![b' '; MAX + 1]), &budget);
    assert_eq!(next(&mut large).await, Err(tonic::Code::OutOfRange));
    // Where no length is given, there must be room for the longest.
    let pieces = |count: usize| tokio_stream::iter((0..count).map(|_| Ok::<_, std::io::Error>(vec![b' '; 400])));
    let mut unsaid = whole(Body::from_stream(pieces(2).chain(tokio_stream::pending())), &budget);
    assert_eq!(next(&mut unsaid).await, Ok(Some(400)));
    assert_eq!(budget.available_permits(), 10_000 - (MAX - 400));
    assert_eq!(next(&mut unsaid).await, Ok(Some(400)));
    assert_eq!(next(&mut unsaid).await, Err(tonic::Code::DeadlineExceeded));
    assert_eq!(budget.available_permits(), 10_000);
    let mut endless = whole(Body::from_stream(pieces(3)), &budget);
    assert_eq!(next(&mut endless).await, Ok(Some(400)));
    assert_eq!(next(&mut endless).await, Ok(Some(400)));
    assert_eq!(next(&mut endless).await, Err(tonic::Code::OutOfRange));
}
