//! The rows of a COPY, sent in pieces while the server's words are read: a server that has much to say about rows waits
//! until it is heard, and one that has refused them is not sent the rest.

use bytes::{BufMut, BytesMut};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::wire::Wire;
use crate::engine::lost::Lost;

/// Bytes of rows in one piece.
const PIECE: usize = 64 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Sends `rows` and their end. What the server says meanwhile is kept for the one who reads its answer.
    pub(super) async fn feed(&mut self, rows: &[u8]) -> Result<(), Lost> {
        let Self { stream, inbox, .. } = self;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut pieces = rows.chunks(PIECE);
        let mut piece = BytesMut::with_capacity(PIECE + 5);
        let (mut sent, mut ended, mut refused) = (0, false, false);
        loop {
            if sent == piece.len() && !ended {
                piece.clear();
                sent = 0;
                match pieces.next() {
                    // Between two pieces only: half of one would be read as the begin of another message.
                    _ if refused => ended = true,
                    Some(rows) => {
                        piece.put_u8(b'd');
                        piece.put_i32(i32::try_from(rows.len() + 4).expect("a piece is small"));
                        piece.put_slice(rows);
                    }
                    None => {
                        frontend::copy_done(&mut piece);
                        ended = true;
                    }
                }
            }
            let all = sent == piece.len();
            let going = async {
                if all { writer.flush().await.map(|()| 0) } else { writer.write(&piece[sent..]).await }
            };
            tokio::select! {
                biased;
                read = reader.read_buf(&mut inbox.bytes) => {
                    if read? == 0 {
                        return Err(inbox.closed());
                    }
                    while let Some(message) = inbox.parse()? {
                        refused |= matches!(message, Message::ErrorResponse(_));
                        inbox.early.push_back(message);
                    }
                }
                went = going => match went? {
                    0 if all => return Ok(()),
                    0 => return Err(Lost::new("the connection takes no more rows")),
                    went => sent += went,
                },
            }
        }
    }
}
