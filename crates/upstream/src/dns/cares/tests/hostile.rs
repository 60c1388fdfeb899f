//! Servers that send what nobody has asked for, and others that get in between.

use super::*;

/// The answer to `question` with this address.
fn answered(question: &[u8], ip: [u8; 4]) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    message[7] = 1;
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4]);
    message.extend(ip);
    message
}

const GOOD: [u8; 4] = [10, 0, 0, 1];
const POISON: [u8; 4] = [6, 6, 6, 6];

#[test]
fn only_the_answer_to_the_question_counts() {
    run(async {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            let question = &buffer[..length];
            let poison = answered(question, POISON);
            // It knows the id and the question, but it is another's socket.
            stranger.send_to(&poison, from).await.unwrap();
            let changed = |at: usize, by: u8| {
                let mut message = poison.clone();
                message[at] ^= by;
                message
            };
            for wrong in [
                changed(0, 1),
                changed(1, 0x80),
                // A question, another name, another kind, another class.
                changed(2, 0x80),
                changed(13, 1),
                changed(length - 3, 2),
                changed(length - 1, 2),
                Vec::new(),
                vec![buffer[0]],
            ] {
                server.send_to(&wrong, from).await.unwrap();
            }
            let good = answered(question, GOOD);
            server.send_to(&good, from).await.unwrap();
            // Too late, and twice.
            server.send_to(&poison, from).await.unwrap();
        });
        let one_try = CaresOptions {
            tries: 1,
            timeout: Duration::from_secs(10),
            ..options(&[at])
        };
        let found = resolver(one_try)
            .resolve("a.test", LookupFamily::V4Only)
            .await;
        assert_eq!(found.unwrap().addresses, [IpAddr::from(GOOD)]);
    });
}

#[test]
fn half_an_answer_by_tcp_is_none() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut held = Vec::new();
            for number in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let length = stream.read_u16().await.unwrap();
                let mut question = vec![0; length.into()];
                stream.read_exact(&mut question).await.unwrap();
                let answer = answered(&question, GOOD);
                let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
                framed.extend(&answer);
                match number {
                    // Ends at once, within the length, within the answer; says nothing more; announces what never comes.
                    0 => {}
                    1 => stream.write_all(&framed[..1]).await.unwrap(),
                    2 => stream.write_all(&framed[..20]).await.unwrap(),
                    3 => {
                        stream.write_all(&framed[..20]).await.unwrap();
                        held.push(stream);
                    }
                    4 => stream.write_all(&[0xff, 0xff, 1]).await.unwrap(),
                    _ => stream.write_all(&framed).await.unwrap(),
                }
            }
        });
        let by_tcp = CaresOptions {
            tcp: true,
            tries: 6,
            backs_off: false,
            ..options(&[at])
        };
        let resolver = resolver(by_tcp);
        let found = resolver.resolve("a.test", LookupFamily::V4Only).await;
        assert_eq!(found.unwrap().addresses, [IpAddr::from(GOOD)]);
        assert!(resolver.0.stats.counter(S::TIMEOUTS) >= 1);
    });
}

#[test]
fn a_flood_of_strange_answers_does_not_hold_up_the_timeout() {
    run(async {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (_, from) = server.recv_from(&mut buffer).await.unwrap();
            loop {
                // The socket may be gone.
                let _ = server.send_to(&[0x5a; 400], from).await;
                tokio::task::yield_now().await;
            }
        });
        let one_try = CaresOptions {
            tries: 1,
            ..options(&[at])
        };
        let failed = resolver(one_try)
            .resolve("a.test", LookupFamily::V4Only)
            .await;
        assert_eq!(
            failed.unwrap_err().0,
            "cares_failure: Timeout while contacting DNS servers"
        );
    });
}
