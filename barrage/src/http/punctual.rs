//! Bodies of requests, which have to come in time whatever address they are for: so long from the
//! start, and longer for all that has come. Who sends a large one steadily is not cut off, and who
//! lets it trickle in keeps nobody waiting.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Body as _, Frame, SizeHint};
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a body may take of which next to nothing comes.
const GRACE: Duration = Duration::from_secs(10);

/// What has to come in each second after that.
const BYTES_PER_SECOND: u64 = 8 * 1024;

/// The form of what is told (RFC 9457).
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Answers a request whose body does not come in time with that, whatever its handler makes of what
/// it has.
pub(super) async fn answer(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let is_late = Arc::<AtomicBool>::default();
    let late = Arc::clone(&is_late);
    let response = next
        .run(request.map(|body| Body::new(Punctual::new(body, late))))
        .await;
    if is_late.load(Ordering::Acquire) {
        refusal(response)
    } else {
        response
    }
}

/// The body of a request.
struct Punctual {
    body: Body,
    began: Instant,
    received: u64,
    deadline: Pin<Box<Sleep>>,
    is_late: Arc<AtomicBool>,
}

impl Punctual {
    fn new(body: Body, is_late: Arc<AtomicBool>) -> Self {
        let began = Instant::now();
        Self {
            body,
            began,
            received: 0,
            deadline: Box::pin(sleep_until(began + GRACE)),
            is_late,
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
                self.is_late.store(true, Ordering::Release);
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
