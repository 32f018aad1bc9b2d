//! The dashboard: one page, in the program itself, that asks the API of the agent that serves it.
//!
//! What is in `assets/` is served as it is, without a step in between: HTML, CSS, and ES modules. Nothing comes from elsewhere, and
//! `crate::guard` tells the browser so. Attributes come from whoever has a key, and may be anything: the page only ever writes them as
//! text. What a page may hold is bounded in `assets/limits.js`.

use axum::{
    Router,
    http::header,
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::guard::{Foreign, guard};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($path:literal $kind:ident $file:literal,)*) => {
        [$(($path, $kind, include_str!(concat!("assets/", $file)))),*]
    };
}

/// Where each is, what it is, and its content.
const ASSETS: [(&str, &str, &str); 15] = assets! {
    "/" HTML "index.html",
    "/web/style.css" CSS "style.css",
    "/web/icon.svg" SVG "icon.svg",
    "/web/main.js" SCRIPT "main.js",
    "/web/limits.js" SCRIPT "limits.js",
    "/web/agent.js" SCRIPT "agent.js",
    "/web/text.js" SCRIPT "text.js",
    "/web/grid.js" SCRIPT "grid.js",
    "/web/tree.js" SCRIPT "tree.js",
    "/web/zone.js" SCRIPT "zone.js",
    "/web/history.js" SCRIPT "history.js",
    "/web/chart.js" SCRIPT "chart.js",
    "/web/ask.js" SCRIPT "ask.js",
    "/web/functions.js" SCRIPT "functions.js",
    "/web/health.js" SCRIPT "health.js",
};

/// A request for a page that comes from a page of somebody else.
struct Refused(Foreign);

impl From<Foreign> for Refused {
    fn from(foreign: Foreign) -> Self {
        Self(foreign)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0.status(), self.0.to_string()).into_response()
    }
}

/// The page at `/` and what it needs; the API has to be served beside it ([`crate::daemon::api::router`]).
pub fn router() -> Router {
    let page = |router: Router, (path, kind, content): (&'static str, &'static str, &'static str)| {
        // Another version of the program may be behind the same address tomorrow.
        let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")];
        router.route(path, get(move || async move { (headers, content) }))
    };
    ASSETS.into_iter().fold(Router::new(), page).layer(middleware::from_fn(guard::<Refused>))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy forbids the one, and the other would be asked for in vain where there is no network.
    #[test]
    fn nothing_is_written_into_the_page_or_comes_from_elsewhere() {
        for (path, kind, content) in ASSETS {
            assert!(content.is_ascii() || kind != HTML || content.contains("charset"), "{path}");
            for bad in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                " style=",
                " onclick=",
                "https://",
            ] {
                assert!(!content.contains(bad), "{path} has {bad}");
            }
            let namespace = "http://www.w3.org/";
            assert_eq!(content.matches("http://").count(), content.matches(namespace).count(), "{path}");
        }
    }

    /// What is imported and not served would be missed only in a browser.
    #[test]
    fn what_is_asked_for_is_there() {
        let served = |path: &str| ASSETS.iter().any(|(at, ..)| *at == path);
        for (path, _, content) in ASSETS {
            for (_, rest) in content.match_indices("from './").map(|(at, _)| content.split_at(at + 8)) {
                let name = rest.split('\'').next().unwrap_or_default();
                assert!(served(&format!("/web/{name}")), "{path} imports {name}");
            }
            for (_, rest) in content.match_indices("\"/web/").map(|(at, _)| content.split_at(at + 1)) {
                assert!(served(rest.split('"').next().unwrap_or_default()), "{path}: {rest:.40}");
            }
        }
    }
}
