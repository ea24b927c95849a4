//! What every request passes: the checks of its host and of its query, the headers of every answer, and the net under
//! panics.

use std::any::Any;
use std::net::IpAddr;

use assay_core::{Code, Error};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, header};
use serde_json::Value;

use crate::app::Shared;
use crate::extract;
use crate::problem::Problem;

/// Refuses requests for other hosts than this machine: a page of the web can have its own name resolve to 127.0.0.1,
/// and the browser would then let it read our answers.
pub(crate) async fn host(State(app): State<Shared>, request: Request, next: Next) -> Response {
    if app.settings.loopback_only && !is_local(&request) {
        let error = Error::new(Code::Forbidden, "this server answers only to the names of this machine")
            .hint("use `localhost` or `127.0.0.1` as host");
        return Problem::from(error).into_response();
    }
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn is_local(request: &Request) -> bool {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = named.or_else(|| request.uri().authority().map(http::uri::Authority::as_str));
    // Without any host there is no browser.
    host.is_none_or(|host| {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    })
}

/// Refuses parameters where a route takes none; routes that take some read them strictly themselves. What a route takes
/// is what its description says.
pub(crate) async fn query(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let first = extract::pairs(request.uri().query()).into_iter().next();
    if let (Some((name, _)), Some(path)) = (first, request.extensions().get::<MatchedPath>())
        && takes_no_query(&app.openapi, path.as_str(), request.method())
    {
        let message = format!("the parameter `{name}` is not known here");
        let hint = format!("`{} {}` takes none", request.method(), path.as_str());
        return Problem::from(Error::new(Code::InvalidParameter, message).hint(hint)).into_response();
    }
    next.run(request).await
}

fn takes_no_query(openapi: &Value, path: &str, method: &Method) -> bool {
    let method = match *method {
        Method::HEAD => "get".to_owned(),
        ref method => method.as_str().to_ascii_lowercase(),
    };
    let Some(route) = openapi["paths"].get(path).and_then(|methods| methods.get(&method)) else {
        return false;
    };
    let mut parameters = route["parameters"].as_array().into_iter().flatten();
    !parameters.any(|parameter| parameter["in"] == "query")
}

/// The answer when a handler panicked; the panic hook has logged the place.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    Problem::from(Error::internal("answering the request")).into_response()
}

/// The answer when no route has the path.
pub(crate) async fn no_route(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(200).collect();
    Problem::from(
        Error::new(Code::NotFound, format!("there is nothing at `{path}`")).hint("`/docs` shows what there is"),
    )
}

/// The answer when the path has other methods.
pub(crate) async fn no_method(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::from(
        Error::new(Code::MethodNotAllowed, format!("`{path}` does not take `{method}`"))
            .hint("the header `Allow` lists what it takes"),
    )
}
