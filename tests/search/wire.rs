//! A wire that knows requests: any of them can be cut off before it reaches the server, or after the server has done it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Where a request is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never sees it.
    Before,
    /// The server has answered; nobody hears it.
    After,
}

#[derive(Default)]
struct State {
    /// Which request, and where: counted from when the rule was made.
    rule: Option<(Rule, Cut)>,
    seen: usize,
    /// What reached the server, as `METHOD /path`.
    passed: Vec<String>,
    /// What was cut by [`Wire::cut_each_once`].
    once: BTreeSet<String>,
}

enum Rule {
    Number(usize),
    Like(String),
    Each,
}

#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Wire {
    pub(crate) async fn new(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        let wire = Self { port, state: Arc::default() };
        let accepting = wire.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let wire = accepting.clone();
                tokio::spawn(async move { wire.serve(client, server).await });
            }
        });
        wire
    }

    /// Cuts the `number`-th request from now on, from 0; heartbeats are not counted.
    pub(crate) fn cut_number(&self, number: usize, cut: Cut) {
        self.rule(Some((Rule::Number(number), cut)));
    }

    /// Cuts the next request whose line begins so, as `POST /users/_doc`.
    pub(crate) fn cut_like(&self, beginning: &str, cut: Cut) {
        self.rule(Some((Rule::Like(beginning.to_owned()), cut)));
    }

    /// Cuts every request that is unlike all that were cut before, once each.
    pub(crate) fn cut_each_once(&self, cut: Cut) {
        self.rule(Some((Rule::Each, cut)));
    }

    /// How many were.
    pub(crate) fn cut_once(&self) -> usize {
        self.state.lock().expect("whole").once.len()
    }

    /// Lets everything through, and counts anew.
    pub(crate) fn mend(&self) {
        self.rule(None);
    }

    fn rule(&self, rule: Option<(Rule, Cut)>) {
        let mut state = self.state.lock().expect("whole");
        (state.rule, state.seen) = (rule, 0);
    }

    /// How many requests came since the rule was made.
    pub(crate) fn seen(&self) -> usize {
        self.state.lock().expect("whole").seen
    }

    /// How many requests that begin so have reached the server.
    pub(crate) fn passed(&self, beginning: &str) -> usize {
        let state = self.state.lock().expect("whole");
        state.passed.iter().filter(|line| line.starts_with(beginning)).count()
    }

    /// One request per connection, whatever the client would like: what is cut is cut between two of them.
    async fn serve(self, mut client: TcpStream, server: u16) {
        let Some(request) = whole(&mut client).await else { return };
        let line = String::from_utf8_lossy(&request[..request.iter().position(|b| *b == b'\r').unwrap_or(0)])
            .into_owned();
        let cut = self.judge(&line, &request);
        if cut == Some(Cut::Before) {
            return;
        }
        self.state.lock().expect("whole").passed.push(line);
        let mut upstream = TcpStream::connect(("127.0.0.1", server)).await.expect("the server listens");
        if upstream.write_all(&closing(request)).await.is_err() {
            return;
        }
        let (mut buffer, mut answered) = (vec![0; 64 * 1024], false);
        loop {
            let read = tokio::select! {
                read = upstream.read(&mut buffer) => read.unwrap_or(0),
                // The client hangs up once it has its answer.
                _ = client.readable(), if cut.is_none() => match client.try_read(&mut [0; 1]) {
                    Ok(0) => 0,
                    _ => continue,
                },
            };
            if read == 0 || cut == Some(Cut::After) {
                return;
            }
            // Else the client would send its next request on a connection that is closed just then.
            let read = buffer[..read].to_vec();
            let read = if std::mem::replace(&mut answered, true) { read } else { closing(read) };
            if client.write_all(&read).await.is_err() {
                return;
            }
        }
    }

    fn judge(&self, line: &str, request: &[u8]) -> Option<Cut> {
        let mut state = self.state.lock().expect("whole");
        if String::from_utf8_lossy(request).contains("\"beat\":")
            && !String::from_utf8_lossy(request).contains("\"beat\":0")
        {
            return None;
        }
        let number = state.seen;
        state.seen += 1;
        let (rule, cut) = state.rule.as_ref()?;
        let cut = *cut;
        if matches!(rule, Rule::Each) {
            return state.once.insert(kind(line, request)).then_some(cut);
        }
        let is_it = match rule {
            Rule::Number(wanted) => *wanted == number,
            Rule::Like(beginning) => line.starts_with(beginning.as_str()),
            Rule::Each => unreachable!("handled above"),
        };
        if is_it {
            state.rule = None;
        }
        is_it.then_some(cut)
    }
}

/// What makes a request unlike others: method and path, and of a note the step that it says.
fn kind(line: &str, request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    let step = text.split("\"step\":").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
    format!("{} {step}", line.split('?').next().unwrap_or(line))
}

/// A request or an answer, saying that its connection ends with the answer.
fn closing(mut message: Vec<u8>) -> Vec<u8> {
    let line = message.windows(2).position(|end| end == b"\r\n").map_or(message.len(), |at| at + 2);
    message.splice(line..line, *b"connection: close\r\n");
    message
}

/// All of a request; none when the client hangs up first.
async fn whole(client: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut request, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        if let Some(head) = request.windows(4).position(|end| end == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            if request.len() >= head + 4 + length.unwrap_or(0) {
                return Some(request);
            }
        }
        match client.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
}
