//! Connecting to a host that has several addresses (Envoy's `HappyEyeballsConnectionImpl`, RFC 8305).

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use nuncio_event::Timer;
use nuncio_net::{Address, ConnectError, ConnectOptions, Stream, connect};

use crate::info::FamilyOrder;

/// How long an attempt is waited for before the next one begins beside it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(300);

/// Why no address gave a connection: what the last one to fail said.
#[derive(Debug)]
pub(crate) struct NoConnection {
    pub(crate) error: ConnectError,
    pub(crate) to: Address,
}

/// Connects to the first of `addresses` that answers; the other attempts are given up. The next attempt begins when the one
/// before it has failed, or is slow. `on_further_attempt` is called for each one after the first.
///
/// # Errors
/// Every attempt has failed. There is no time limit here.
pub(crate) async fn connect_first(
    addresses: &[Address],
    order: FamilyOrder,
    options: &ConnectOptions,
    on_further_attempt: impl FnMut(),
) -> Result<(Stream, Address), NoConnection> {
    match addresses {
        [only] => match connect(only, options).await {
            Ok(stream) => Ok((stream, only.clone())),
            Err(error) => Err(NoConnection {
                error,
                to: only.clone(),
            }),
        },
        _ => race(sorted(addresses, order), options, on_further_attempt).await,
    }
}

type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + 'a>>;

async fn race(
    addresses: Vec<&Address>,
    options: &ConnectOptions,
    mut on_further_attempt: impl FnMut(),
) -> Result<(Stream, Address), NoConnection> {
    let mut left = addresses.into_iter();
    let mut running: Vec<(&Address, Attempt<'_>)> = Vec::new();
    let mut timer = Timer::new();
    let mut started = 0;
    let mut failed: Option<NoConnection> = None;
    poll_fn(|cx| {
        loop {
            let mut at = 0;
            while let Some((to, attempt)) = running.get_mut(at) {
                match attempt.as_mut().poll(cx) {
                    Poll::Pending => at += 1,
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok((stream, to.clone()))),
                    Poll::Ready(Err(error)) => {
                        let to = to.clone();
                        failed = Some(NoConnection { error, to });
                        drop(running.swap_remove(at));
                        // The next one need not wait.
                        timer.set_timeout(Some(Duration::ZERO));
                    }
                }
            }
            let due = started == 0 || timer.poll_expired(cx).is_ready();
            if !due {
                return Poll::Pending;
            }
            let Some(next) = left.next() else {
                timer.set_timeout(None);
                match failed.take() {
                    Some(failure) if running.is_empty() => return Poll::Ready(Err(failure)),
                    before => failed = before,
                }
                return Poll::Pending;
            };
            started += 1;
            if started > 1 {
                on_further_attempt();
            }
            running.push((next, Box::pin(connect(next, options))));
            timer.set_timeout(Some(ATTEMPT_DELAY));
        }
    })
    .await
}

/// In the order in which they are tried: so many of the first family, then one of the other, and so on.
fn sorted(addresses: &[Address], order: FamilyOrder) -> Vec<&Address> {
    let is_v6 = |address: &Address| address.ip().is_some_and(|ip| ip.is_ipv6());
    let first_is_v6 = order
        .first_is_v6
        .or_else(|| addresses.first().map(is_v6))
        .unwrap_or_default();
    let of = |wanted: bool| addresses.iter().filter(move |it| is_v6(it) == wanted);
    let (mut first, mut other) = (of(first_is_v6).peekable(), of(!first_is_v6));
    let mut sorted = Vec::with_capacity(addresses.len());
    while sorted.len() < addresses.len() {
        sorted.extend(first.by_ref().take(order.first_count.max(1) as usize));
        sorted.extend(other.next());
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run_paused;
    use nuncio_event::Instant;
    use tokio::net::TcpListener;

    fn addresses(texts: &[&str]) -> Vec<Address> {
        let parse = |text: &&str| Address::parse_ip(text, 1).unwrap();
        texts.iter().map(parse).collect()
    }

    fn order(first_is_v6: Option<bool>, first_count: u32, texts: &[&str]) -> Vec<String> {
        let order = FamilyOrder {
            first_is_v6,
            first_count,
        };
        let all = addresses(texts);
        let sorted = sorted(&all, order);
        let text = |it: &&Address| it.ip().unwrap().ip().to_string();
        sorted.iter().map(text).collect()
    }

    #[test]
    fn families_take_turns() {
        let all = ["::1", "::2", "::3", "10.0.0.1", "10.0.0.2"];
        assert_eq!(
            order(None, 1, &all),
            ["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"]
        );
        assert_eq!(
            order(Some(false), 1, &all),
            ["10.0.0.1", "::1", "10.0.0.2", "::2", "::3"]
        );
        assert_eq!(
            order(None, 2, &all),
            ["::1", "::2", "10.0.0.1", "::3", "10.0.0.2"]
        );
        assert_eq!(order(Some(true), 1, &["10.0.0.1"]), ["10.0.0.1"]);
    }

    #[test]
    fn a_refused_address_is_followed_at_once() {
        run_paused(async {
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let good = Address::from_socket(socket.local_addr().unwrap());
            let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let refused = Address::from_socket(closed.local_addr().unwrap());
            drop(closed);
            let before = Instant::now();
            let mut attempts = 0;
            let list = [refused.clone(), good.clone()];
            let (stream, to) = connect_first(
                &list,
                FamilyOrder::default(),
                &ConnectOptions::default(),
                || attempts += 1,
            )
            .await
            .unwrap();
            assert_eq!(to, good);
            assert_eq!(stream.remote_address().unwrap(), good);
            assert!(before.elapsed() < ATTEMPT_DELAY);
            assert_eq!(attempts, 1);
            let list = [refused.clone(), refused.clone()];
            let failed = connect_first(
                &list,
                FamilyOrder::default(),
                &ConnectOptions::default(),
                || (),
            )
            .await
            .unwrap_err();
            assert_eq!(failed.to, refused);
        });
    }

    #[test]
    fn a_slow_address_is_not_waited_for() {
        let (slow, _full) = crate::testing::full_socket();
        let slow = Address::from_socket(slow.local_addr().unwrap());
        run_paused(async move {
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let good = Address::from_socket(socket.local_addr().unwrap());
            let before = Instant::now();
            let list = [slow, good.clone()];
            let (_, to) = connect_first(
                &list,
                FamilyOrder::default(),
                &ConnectOptions::default(),
                || (),
            )
            .await
            .unwrap();
            assert_eq!(to, good);
            let took = before.elapsed();
            assert!(
                took >= ATTEMPT_DELAY && took < ATTEMPT_DELAY * 2,
                "{took:?}"
            );
        });
    }
}
