//! A listener with one thread per connection, and an end to all of them when it is dropped.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

/// One socket in several hands. It is one descriptor, so that it is really closed, and reset if it
/// was told to, when the last of them lets go.
#[derive(Clone, Debug)]
pub(crate) struct Socket(pub Arc<TcpStream>);

impl Socket {
    /// From now on closing is a reset: RST instead of FIN.
    pub(crate) fn reset_on_close(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(&*self.0, Some(Duration::ZERO));
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self.0).write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both directions of a socket.
#[derive(Debug)]
pub(crate) struct Wire {
    pub reader: BufReader<Socket>,
    pub writer: Socket,
}

impl Wire {
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        socket.0.set_nodelay(true)?;
        Ok(Self { reader: BufReader::with_capacity(64 << 10, socket.clone()), writer: socket })
    }
}

/// All sockets that must end when the server does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Open(Arc<Mutex<Vec<Weak<TcpStream>>>>);

impl Open {
    pub(crate) fn wrap(&self, stream: TcpStream) -> Socket {
        let stream = Arc::new(stream);
        let mut open = self.0.lock().unwrap();
        open.retain(|socket| socket.strong_count() > 0);
        open.push(Arc::downgrade(&stream));
        Socket(stream)
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    host: String,
    open: Open,
    has_stopped: Arc<AtomicBool>,
    acceptor: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Listens on a free port of 127.0.0.1. The handler gets the list for sockets it opens itself.
    pub(crate) fn start(serve: impl Fn(Socket, &Open) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let open = Open::default();
        let has_stopped = Arc::new(AtomicBool::new(false));
        let (stop, all, serve) = (Arc::clone(&has_stopped), open.clone(), Arc::new(serve));
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let socket = all.wrap(stream);
                let (all, serve) = (all.clone(), Arc::clone(&serve));
                thread::spawn(move || serve(socket, &all));
            }
        });
        Self { host, open, has_stopped, acceptor: Some(acceptor) }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.has_stopped.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        drop(TcpStream::connect(&self.host));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for socket in self.open.0.lock().unwrap().iter().filter_map(Weak::upgrade) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
