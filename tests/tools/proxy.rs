//! A wire that can be cut after any byte, or answered for by nobody.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Which way the bytes go that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

#[derive(Default)]
struct State {
    /// Cut after so many more bytes of this way.
    cut: Option<(Way, usize)>,
    /// What a cut leaves open at the server's side: the server does not notice that its client is gone.
    keep_server: bool,
    passed: [usize; 2],
    /// How many connections there were.
    all: usize,
    /// The only one that is counted and cut.
    only: Option<usize>,
    kept: Vec<(Option<OwnedReadHalf>, Option<OwnedWriteHalf>)>,
}

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// Listens on `address` and passes everything on to the server.
    pub(crate) async fn new(address: &str, server: u16) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        let proxy = Self { port, state: Arc::default() };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.expect("the server listens");
                accepting.clone().join(client, server);
            }
        });
        proxy
    }

    /// Cuts every connection once `bytes` more have gone this way.
    pub(crate) fn cut_after(&self, way: Way, bytes: usize) {
        let mut state = self.state.lock().expect("whole");
        state.passed = [0, 0];
        state.cut = Some((way, bytes));
    }

    /// As [`Proxy::cut_after`], but the server's side stays open.
    pub(crate) fn hide_after(&self, way: Way, bytes: usize) {
        self.cut_after(way, bytes);
        self.state.lock().expect("whole").keep_server = true;
    }

    /// Lets everything through again.
    pub(crate) fn mend(&self) {
        self.state.lock().expect("whole").cut = None;
    }

    /// From now on only the newest connection is counted and cut: the one on which a session says everything that matters.
    pub(crate) fn only_the_newest(&self) {
        let mut state = self.state.lock().expect("whole");
        state.only = Some(state.all);
    }

    /// Counts from now on.
    pub(crate) fn count(&self) {
        self.state.lock().expect("whole").passed = [0, 0];
    }

    pub(crate) fn passed(&self, way: Way) -> usize {
        self.state.lock().expect("whole").passed[way as usize]
    }

    fn join(self, client: TcpStream, server: TcpStream) {
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (end, _) = tokio::sync::broadcast::channel(2);
        let number = {
            let mut state = self.state.lock().expect("whole");
            state.all += 1;
            state.all
        };
        let up = self.clone().pump((number, Way::ToServer), from_client, to_server, end.clone());
        let down = self.pump((number, Way::ToClient), from_server, to_client, end);
        tokio::spawn(up);
        tokio::spawn(down);
    }

    /// Passes on until one side ends or the cut comes. The halves of the server are kept where the cut says so.
    async fn pump(
        self,
        (number, way): (usize, Way),
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        end: tokio::sync::broadcast::Sender<()>,
    ) {
        let mut ended = end.subscribe();
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read.unwrap_or(0),
                _ = ended.recv() => 0,
            };
            let allowed = self.allowed(number, way, read);
            let sent = to.write_all(&buffer[..allowed]).await;
            if read == 0 || allowed < read || sent.is_err() || self.is_cut(number, way) {
                break;
            }
        }
        let _ = end.send(());
        let mut state = self.state.lock().expect("whole");
        if state.keep_server {
            state.kept.push(match way {
                Way::ToServer => (None, Some(to)),
                Way::ToClient => (Some(from), None),
            });
        }
    }

    fn allowed(&self, number: usize, way: Way, read: usize) -> usize {
        let mut state = self.state.lock().expect("whole");
        if state.only.is_some_and(|only| only != number) {
            return read;
        }
        let before = state.passed[way as usize];
        let allowed = match state.cut {
            Some((cut, bytes)) if cut == way => read.min(bytes.saturating_sub(before)),
            _ => read,
        };
        state.passed[way as usize] += allowed;
        allowed
    }

    fn is_cut(&self, number: usize, way: Way) -> bool {
        let state = self.state.lock().expect("whole");
        state.only.is_none_or(|only| only == number)
            && matches!(state.cut, Some((cut, bytes)) if cut == way && state.passed[way as usize] >= bytes)
    }
}
