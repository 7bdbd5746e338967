//! Bodies of requests, which have to come in time whatever address they are for: so long from the
//! start, and longer for all that has come. Who sends a large one steadily is not cut off, and who
//! lets it trickle in keeps nobody waiting. What nobody wants to read of one is passed over before it is
//! answered: most clients read no answer while they write, and lose it when the connection is closed.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use hyper::body::{Body as _, Frame, SizeHint};
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// How long a body may take of which next to nothing comes.
const GRACE: Duration = Duration::from_secs(10);

/// What has to come in each second after that.
const BYTES_PER_SECOND: u64 = 8 * 1024;

/// So much is passed over of a body that nobody reads, and in that time; of more the connection is closed.
const UNREAD_MAX: usize = 8 << 20;
const UNREAD_WITHIN: Duration = Duration::from_secs(2);

/// The form of what is told (RFC 9457).
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Answers a request whose body does not come in time with that, whatever its handler makes of what
/// it has.
pub(super) async fn answer(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let version = request.version();
    // Who waits to be asked for it reads the answer instead.
    let waits = request.headers().contains_key(header::EXPECT);
    let fate = Arc::<Fate>::default();
    let told = Arc::clone(&fate);
    let mut response = next
        .run(request.map(|body| Body::new(Punctual::new(body, told))))
        .await;
    if fate.is_late.load(Ordering::Acquire) {
        return refusal(response);
    }
    let unread = fate.unread().take().filter(|_| !waits);
    if let Some(unread) = unread {
        let is_whole = timeout(UNREAD_WITHIN, pass_over(unread)).await;
        if !is_whole.unwrap_or(false) && version <= Version::HTTP_11 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
    }
    response
}

/// Reads what nobody wants; false when there is too much of it.
async fn pass_over(body: Body) -> bool {
    let mut body = body.into_data_stream();
    let mut passed = 0;
    while let Some(Ok(bytes)) = body.next().await {
        passed += bytes.len();
        if passed > UNREAD_MAX {
            return false;
        }
    }
    true
}

/// What became of a body.
#[derive(Default)]
struct Fate {
    is_late: AtomicBool,
    /// What was given up before its end.
    unread: Mutex<Option<Body>>,
}

impl Fate {
    fn unread(&self) -> MutexGuard<'_, Option<Body>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a request.
struct Punctual {
    body: Body,
    began: Instant,
    received: u64,
    deadline: Pin<Box<Sleep>>,
    fate: Arc<Fate>,
}

impl Drop for Punctual {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            *self.fate.unread() = Some(std::mem::take(&mut self.body));
        }
    }
}

impl Punctual {
    fn new(body: Body, fate: Arc<Fate>) -> Self {
        let began = Instant::now();
        Self {
            body,
            began,
            received: 0,
            deadline: Box::pin(sleep_until(began + GRACE)),
            fate,
        }
    }

    /// Notes what has come, for which there is more time.
    fn note(&mut self, bytes: usize) {
        self.received += bytes as u64;
        let earned = Duration::from_millis(self.received * 1_000 / BYTES_PER_SECOND);
        self.deadline.as_mut().reset(self.began + GRACE + earned);
    }
}

impl hyper::body::Body for Punctual {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.note(frame.data_ref().map_or(0, Bytes::len));
                polled
            }
            Poll::Ready(_) => polled,
            Poll::Pending => {
                ready!(self.deadline.as_mut().poll(cx));
                self.fate.is_late.store(true, Ordering::Release);
                let late = io::Error::from(ErrorKind::TimedOut);
                Poll::Ready(Some(Err(axum::Error::new(late))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// That the body did not come in time, under the headers of what would have been answered: pages of
/// other sites may read it where they may read anything. `error` is the form of the API's own.
fn refusal(response: Response) -> Response {
    const CODE: &str = "too_slow";
    const DETAIL: &str = "The body of the request did not come in time.";
    let status = StatusCode::REQUEST_TIMEOUT;
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": CODE,
        "detail": DETAIL,
        "error": { "code": CODE, "message": DETAIL },
    });
    let (mut parts, _) = response.into_parts();
    parts.status = status;
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, PROBLEM);
    Response::from_parts(parts, Body::from(body.to_string()))
}
