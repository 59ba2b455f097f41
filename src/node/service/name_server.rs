//! The cluster's name server, as its pods see it: a thin face over [`names`], and a forwarder.
//!
//! What is not the cluster's is asked of the machine's own resolvers, from the machine's network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, Message, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{CNAME, PTR, SOA, SRV, TXT};
use hickory_server::proto::rr::{Name as WireName, RData, Record as WireRecord, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};

use super::names::{self, Answer, Data, Question, Record};
use super::plan::Ground;
use super::resolv_conf;
use super::table::{Key, Table};
use super::{DOMAIN, NAME_SERVER};
use crate::node::network::Door;

/// How long answers may be kept; `CoreDNS`' default for cluster names.
const TTL_SECONDS: u32 = 5;
/// Payload that no path fragments, as agreed on the DNS flag day of 2020.
const PAYLOAD_MAX: u16 = 1_232;
const PORT: u16 = 53;
const IDLE: Duration = Duration::from_secs(10);
const TCP_ANSWERS: usize = 16;
/// How long one resolver of the machine may think.
const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 2;

/// What answers need.
pub struct Desk {
    pub table: watch::Receiver<Table>,
    pub ground: Ground,
    /// Services that a pod asks for; full is fine.
    pub asked: mpsc::Sender<Key>,
}

/// The message of an answer, apart from the question.
#[derive(Default)]
struct Reply {
    code: ResponseCode,
    is_ours: bool,
    answers: Vec<WireRecord>,
    authority: Vec<WireRecord>,
    soa: Vec<WireRecord>,
    additionals: Vec<WireRecord>,
}

/// Begins to answer at the cluster's address for it and at the node's gateway.
pub async fn open(door: &Door, desk: Desk) -> io::Result<Server<impl RequestHandler>> {
    let gateway = desk.ground.pods.gateway();
    let mut server = Server::new(desk);
    for address in [NAME_SERVER, gateway] {
        let at = SocketAddr::from((address, PORT));
        server.register_socket(door.datagrams(at).await?);
        server.register_listener(door.listen(at).await?, IDLE, TCP_ANSWERS);
    }
    Ok(server)
}

#[async_trait::async_trait]
impl RequestHandler for Desk {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut out: R,
    ) -> ResponseInfo {
        let reply = self.reply(request).await;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.authoritative = reply.is_ours;
        metadata.recursion_available = true;
        let mut edns = Edns::new();
        edns.set_max_payload(request.max_payload().min(PAYLOAD_MAX));
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if request.edns.is_some() {
            builder.edns(&edns);
        }
        let response = builder.build(
            metadata,
            &reply.answers,
            &reply.authority,
            &reply.soa,
            &reply.additionals,
        );
        match out.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "an answer about a name was not sent");
                metadata.response_code = ResponseCode::ServFail;
                Header {
                    metadata,
                    counts: HeaderCounts::default(),
                }
                .into()
            }
        }
    }
}

impl Desk {
    async fn reply(&self, request: &Request) -> Reply {
        let Ok(info) = request.request_info() else {
            return Reply::failed(ResponseCode::FormErr);
        };
        let query = info.query;
        let name = query.name().to_string();
        let name = name.trim_end_matches('.');
        let kind = query.query_type();
        let table = self.table.borrow().clone();
        match names::answer(&table, &self.ground, name, question(kind)) {
            Answer::Elsewhere => match forward(request.as_slice()).await {
                Some(message) => Reply::passed_on(message),
                None => Reply::failed(ResponseCode::ServFail),
            },
            Answer::Unknown => Reply::denied(ResponseCode::NXDomain),
            Answer::Empty => Reply::denied(ResponseCode::NoError),
            Answer::Records(answers, additionals) => {
                if let Some(service) = names::service_of(name) {
                    let _full_is_fine = self.asked.try_send(service);
                }
                let mut reply = Reply {
                    is_ours: true,
                    answers: wire(&answers),
                    additionals: wire(&additionals),
                    ..Reply::default()
                };
                if let [
                    Record {
                        data: Data::Alias(target),
                        ..
                    },
                ] = answers.as_slice()
                    && kind != RecordType::CNAME
                {
                    reply
                        .answers
                        .extend(self.follow(&table, target, kind).await);
                }
                reply
            }
        }
    }

    /// What an alias leads to: resolvers of C libraries do not ask again.
    async fn follow(&self, table: &Table, target: &str, kind: RecordType) -> Vec<WireRecord> {
        match names::answer(table, &self.ground, target, question(kind)) {
            Answer::Records(answers, _) => wire(&answers),
            Answer::Elsewhere => {
                let Ok(name) = WireName::from_ascii(format!("{target}.")) else {
                    return Vec::new();
                };
                let mut ask = Message::query();
                ask.metadata.recursion_desired = true;
                ask.add_query(hickory_server::proto::op::Query::query(name, kind));
                let Ok(bytes) = ask.to_vec() else {
                    return Vec::new();
                };
                forward(&bytes).await.map_or_else(Vec::new, |it| it.answers)
            }
            Answer::Empty | Answer::Unknown => Vec::new(),
        }
    }
}

impl Reply {
    fn failed(code: ResponseCode) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }

    /// Says how long the absence may be believed.
    fn denied(code: ResponseCode) -> Self {
        let name = |text: String| WireName::from_ascii(text).unwrap_or_default();
        let zone = name(format!("{DOMAIN}."));
        let soa = SOA::new(
            name(format!("ns.dns.{DOMAIN}.")),
            name(format!("hostmaster.{DOMAIN}.")),
            1,
            7_200,
            1_800,
            86_400,
            TTL_SECONDS,
        );
        Self {
            code,
            is_ours: true,
            soa: vec![WireRecord::from_rdata(zone, TTL_SECONDS, RData::SOA(soa))],
            ..Self::default()
        }
    }

    fn passed_on(message: Message) -> Self {
        Self {
            code: message.metadata.response_code,
            is_ours: false,
            answers: message.answers,
            authority: message.authorities,
            soa: Vec::new(),
            additionals: message.additionals,
        }
    }
}

fn question(kind: RecordType) -> Question {
    match kind {
        RecordType::A => Question::Address,
        RecordType::SRV => Question::Service,
        RecordType::PTR => Question::Pointer,
        RecordType::TXT => Question::Text,
        _ => Question::Other,
    }
}

fn wire(records: &[Record]) -> Vec<WireRecord> {
    let name = |text: &str| WireName::from_ascii(format!("{text}.")).ok();
    let wired = records.iter().map(|record| {
        let data = match &record.data {
            Data::Address(address) => RData::A((*address).into()),
            Data::Service { port, target } => RData::SRV(SRV::new(0, 100, *port, name(target)?)),
            Data::Pointer(target) => RData::PTR(PTR(name(target)?)),
            Data::Alias(target) => RData::CNAME(CNAME(name(target)?)),
            Data::Text(text) => RData::TXT(TXT::new(vec![text.clone()])),
        };
        Some(WireRecord::from_rdata(
            name(&record.name)?,
            TTL_SECONDS,
            data,
        ))
    });
    wired.flatten().collect()
}

/// Asks the machine's resolvers in turn; none: none of them answers.
async fn forward(question: &[u8]) -> Option<Message> {
    let text = tokio::fs::read_to_string("/etc/resolv.conf").await.ok()?;
    let servers: Vec<IpAddr> = resolv_conf::servers(&text)
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    for server in std::iter::repeat_n(&servers, ROUNDS).flatten() {
        let to = SocketAddr::from((*server, PORT));
        match ask(to, question).await {
            Ok(message) if message.metadata.id == id(question) => return Some(message),
            Ok(_) => tracing::debug!(%server, "a resolver answers another question"),
            Err(error) => tracing::debug!(%server, %error, "a resolver does not answer"),
        }
    }
    None
}

/// The number of a question, in its first two bytes.
fn id(question: &[u8]) -> u16 {
    match question {
        [first, second, ..] => u16::from_be_bytes([*first, *second]),
        _ => 0,
    }
}

async fn ask(to: SocketAddr, question: &[u8]) -> io::Result<Message> {
    let in_time = |work| tokio::time::timeout(PATIENCE, work);
    let answer = in_time(by_datagram(to, question)).await??;
    let message = Message::from_vec(&answer).map_err(io::Error::other)?;
    if !message.metadata.truncation {
        return Ok(message);
    }
    let answer = tokio::time::timeout(PATIENCE, by_stream(to, question)).await??;
    Message::from_vec(&answer).map_err(io::Error::other)
}

async fn by_datagram(to: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    socket.send(question).await?;
    let mut answer = vec![0; usize::from(u16::MAX)];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

async fn by_stream(to: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(question).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
