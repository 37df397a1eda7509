//! A token server: the protocol by which Docker's clients become somebody, with tokens that a real
//! registry verifies.
//!
//! GET: <https://distribution.github.io/distribution/spec/auth/token/>, POST:
//! <https://distribution.github.io/distribution/spec/auth/oauth/>, what is in a token:
//! <https://distribution.github.io/distribution/spec/auth/jwt/>.

mod sign;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde_json::{Value, json};

use self::sign::Signer;
use crate::authority::Authority;
use crate::http::{Answer, BodyReader, RequestHead, write_answer};
use crate::server::{Server, Socket, Wire};

/// What a registry has in its configuration and a token in its audience.
pub const SERVICE: &str = "registry of a test";

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// Whether more than `pull` is granted.
    pub may_push: bool,
}

impl User {
    /// Somebody who may push and pull everywhere.
    pub fn new(name: &str, password: &str) -> Self {
        Self { name: name.to_owned(), password: password.to_owned(), may_push: true }
    }
}

/// The field in which the token comes. Clients must read both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenField {
    /// `token`, the first name.
    #[default]
    Token,
    /// `access_token`, of OAuth 2.
    AccessToken,
    /// Both, with the same value.
    Both,
}

/// How a token server behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who there is.
    pub users: Vec<User>,
    /// Repositories from which anybody may pull, by the beginning of their names; an empty string
    /// is all.
    pub public: Vec<String>,
    /// How long the registry accepts a token, exactly: the sixty seconds of grace that
    /// distribution gives are subtracted. Zero gives tokens that are expired when they come.
    pub lifetime: Duration,
    /// What `expires_in` says, in seconds; without it a client must assume sixty.
    pub announced: Option<u64>,
    /// The name of the field.
    pub field: TokenField,
    /// Whether there is a POST. Without, it is 405, as with many servers.
    pub has_oauth: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            users: vec![User::new("user", "password")],
            public: Vec::new(),
            lifetime: Duration::from_secs(300),
            announced: Some(300),
            field: TokenField::default(),
            has_oauth: true,
        }
    }
}

/// How somebody asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GET, nobody.
    Anonymous,
    /// GET with a name and a password.
    Basic,
    /// POST with a name and a password.
    Password,
    /// POST with a refresh token.
    Refresh,
    /// Something else, which was refused.
    Other,
}

/// A request that the server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// How it was asked.
    pub kind: Kind,
    /// Who asked, as they said themselves.
    pub user: Option<String>,
    /// What was asked for: `repository:NAME:pull,push`, one per scope, in the client's order.
    pub scopes: Vec<String>,
    /// What was granted, likewise; a scope of which nothing was granted is missing.
    pub granted: Vec<String>,
    /// The answer's status.
    pub status: u16,
}

/// A running token server.
#[derive(Debug)]
pub struct TokenServer {
    server: Server,
    shared: Arc<Shared>,
    authority: Authority,
}

#[derive(Debug)]
struct Shared {
    options: Mutex<Options>,
    signer: Signer,
    requests: Mutex<Vec<TokenRequest>>,
}

impl TokenServer {
    /// Starts one, on plain HTTP.
    pub fn start(options: Options) -> Self {
        let authority = Authority::new();
        let directory = tempfile::tempdir().unwrap();
        let signer = Signer::new(&authority.certify(directory.path()));
        let shared =
            Arc::new(Shared { options: Mutex::new(options), signer, requests: Mutex::default() });
        let server = Server::start({
            let shared = Arc::clone(&shared);
            move |socket, _| {
                // A client that goes away is not this server's fault.
                let _ = shared.serve(socket);
            }
        });
        Self { server, shared, authority }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        self.server.host()
    }

    /// Where tokens are: what a registry says in `WWW-Authenticate`.
    pub fn realm(&self) -> String {
        format!("http://{}/token", self.host())
    }

    /// The token that buys tokens for this user, as from `docker login`'s `identitytoken`.
    pub fn refresh_token(&self, user: &str) -> String {
        refresh_token(user)
    }

    /// All requests so far, in the order of their answers.
    pub fn requests(&self) -> Vec<TokenRequest> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Forgets the requests.
    pub fn clear(&self) {
        self.shared.requests.lock().unwrap().clear();
    }

    /// Behaves otherwise from now on.
    pub fn change(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.shared.options.lock().unwrap());
    }

    /// A token for scopes, without asking for one: for what a stranger could not get.
    pub fn issue(&self, scopes: &[&str], lifetime: Duration) -> String {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.shared.signer.sign(&self.realm(), "tests", &access(&scopes), lifetime)
    }

    /// The `auth.token` of a registry's configuration.
    pub(crate) fn registry_config(&self) -> Value {
        json!({
            "realm": self.realm(),
            "service": SERVICE,
            "issuer": sign::ISSUER,
            "rootcertbundle": self.authority.ca_pem_path(),
        })
    }
}

/// What somebody wants.
#[derive(Debug)]
struct Wish {
    kind: Kind,
    user: Option<String>,
    secret: String,
    scopes: Vec<String>,
    wants_refresh: bool,
}

impl Shared {
    fn serve(&self, socket: Socket) -> std::io::Result<()> {
        let mut wire = Wire::new(socket)?;
        while let Some(head) = RequestHead::read(&mut wire.reader, &mut wire.writer)? {
            let body = BodyReader::new(&mut wire.reader, head.framing()).all()?;
            let answer = self.answer(&head, &String::from_utf8_lossy(&body));
            write_answer(&mut wire.writer, &answer, &head.method)?;
        }
        Ok(())
    }

    fn answer(&self, head: &RequestHead, body: &str) -> Answer {
        let options = self.options.lock().unwrap().clone();
        let wish = Wish::read(head, body);
        let (status, granted) = options.judge(&wish);
        let said = match status {
            200 => {
                let user = wish.user.as_deref().unwrap_or_default();
                let realm = head.headers.get("Host").unwrap_or_default();
                let token = self.signer.sign(realm, user, &access(&granted), options.lifetime);
                options.body(&wish, &token, &granted)
            }
            405 => json!({ "error": "unsupported_method" }),
            // Both forms: that of OAuth and that of registries.
            _ => json!({
                "error": "invalid_grant",
                "errors": [{ "code": "UNAUTHORIZED", "message": "who is that" }],
            }),
        };
        let Wish { kind, user, scopes, .. } = wish;
        let request = TokenRequest { kind, user, scopes, granted, status };
        self.requests.lock().unwrap().push(request);
        Answer::new(status).header("Content-Type", "application/json").body(said.to_string())
    }
}

impl Options {
    fn judge(&self, wish: &Wish) -> (u16, Vec<String>) {
        let is_post = matches!(wish.kind, Kind::Password | Kind::Refresh);
        if wish.kind == Kind::Other || (is_post && !self.has_oauth) {
            return (405, Vec::new());
        }
        let user = match wish.kind {
            Kind::Anonymous | Kind::Other => None,
            Kind::Refresh => {
                self.users.iter().find(|user| refresh_token(&user.name) == wish.secret)
            }
            Kind::Basic | Kind::Password => self.users.iter().find(|user| {
                Some(&user.name) == wish.user.as_ref() && user.password == wish.secret
            }),
        };
        if user.is_none() && wish.kind != Kind::Anonymous {
            return (401, Vec::new());
        }
        (200, wish.scopes.iter().filter_map(|scope| self.grant(user, scope)).collect())
    }

    /// What is left of a scope. Nobody is told that it is less; the registry will.
    fn grant(&self, user: Option<&User>, scope: &str) -> Option<String> {
        let (resource, actions) = scope.rsplit_once(':')?;
        let name = resource.split_once(':').map_or(resource, |(_, name)| name);
        let is_public = self.public.iter().any(|public| name.starts_with(public));
        let may = |action: &&str| match user {
            Some(user) => user.may_push || *action == "pull",
            None => is_public && *action == "pull",
        };
        let granted: Vec<&str> = actions.split(',').filter(may).collect();
        (!granted.is_empty()).then(|| format!("{resource}:{}", granted.join(",")))
    }

    fn body(&self, wish: &Wish, token: &str, granted: &[String]) -> Value {
        let mut body = json!({ "issued_at": sign::date_time(sign::now()) });
        // An answer to a POST has the names of OAuth, whatever a GET has.
        let is_post = matches!(wish.kind, Kind::Password | Kind::Refresh);
        if self.field != TokenField::AccessToken && !is_post {
            body["token"] = token.into();
        }
        if self.field != TokenField::Token || is_post {
            body["access_token"] = token.into();
        }
        if let Some(seconds) = self.announced {
            body["expires_in"] = seconds.into();
        }
        if is_post {
            body["scope"] = granted.join(" ").into();
        }
        let user = self.users.iter().find(|user| {
            Some(&user.name) == wish.user.as_ref() || refresh_token(&user.name) == wish.secret
        });
        if let (true, Some(user)) = (wish.wants_refresh || wish.kind == Kind::Refresh, user) {
            body["refresh_token"] = refresh_token(&user.name).into();
        }
        body
    }
}

impl Wish {
    fn read(head: &RequestHead, body: &str) -> Self {
        let (_, query) = head.target.split_once('?').unwrap_or_default();
        let fields = form(if head.method == "POST" { body } else { query });
        let all = |name: &str| {
            let mine = fields.iter().filter(move |(n, _)| n == name).map(|(_, value)| value);
            mine.cloned().collect::<Vec<String>>()
        };
        let one = |name: &str| all(name).into_iter().next();
        // One per field with GET, several in one with POST; both are accepted of both.
        let asked = all("scope");
        let scopes = asked.iter().flat_map(|s| s.split(' ')).map(str::to_owned);
        let scopes: Vec<String> = scopes.filter(|scope| !scope.is_empty()).collect();
        let basic = head.headers.get("Authorization").and_then(basic);
        let wants_refresh = one("offline_token").is_some_and(|v| v == "true")
            || one("access_type").is_some_and(|v| v == "offline");
        let grant = one("grant_type").unwrap_or_default();
        let (kind, user, secret) = match (head.method.as_str(), grant.as_str(), basic) {
            ("GET", _, Some((user, password))) => (Kind::Basic, Some(user), password),
            ("GET", _, None) => (Kind::Anonymous, None, String::new()),
            ("POST", "password", _) => {
                (Kind::Password, one("username"), one("password").unwrap_or_default())
            }
            ("POST", "refresh_token", _) => {
                (Kind::Refresh, None, one("refresh_token").unwrap_or_default())
            }
            _ => (Kind::Other, None, String::new()),
        };
        Self { kind, user, secret, scopes, wants_refresh }
    }
}

fn refresh_token(user: &str) -> String {
    format!("refresh-{user}")
}

/// The `access` of a token: <https://distribution.github.io/distribution/spec/auth/jwt/>.
fn access(scopes: &[String]) -> Value {
    let entry = |scope: &String| {
        let (kind, rest) = scope.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let actions: Vec<&str> = actions.split(',').collect();
        Some(json!({ "type": kind, "name": name, "actions": actions }))
    };
    scopes.iter().filter_map(entry).collect()
}

fn basic(header: &str) -> Option<(String, String)> {
    let decoded = BASE64.decode(header.strip_prefix("Basic ")?.trim().as_bytes()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// `a=b&c=d`, with `%xx` and `+`.
fn form(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (percent_decoded(name), percent_decoded(value))).collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).filter(|_| *first == b'%');
        let decoded = hex.and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex).ok());
        rest = if decoded.is_some() { &after[2..] } else { after };
        bytes.push(decoded.map_or(if *first == b'+' { b' ' } else { *first }, |byte| byte[0]));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
