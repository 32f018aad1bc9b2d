//! `gcs-monitor top`: all zones in the terminal.
//!
//! `state.rs` and `keys.rs` are what is known and looked at, `draw.rs` the screen, `ask.rs` who asks the agent. Here they meet the world.

use std::{
    io::{self, IsTerminal as _},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use ratatui::{DefaultTerminal, crossterm::event};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Outcome, client::Api};

mod ask;
mod draw;
mod grid;
mod keys;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod views;
mod zone;

use state::{News, State};

/// How soon what has come is on the screen.
const FRAME: Duration = Duration::from_millis(50);
/// How long the screen may take to end after a signal.
const ENDS: Duration = Duration::from_secs(1);
/// How long the agent may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Top {
    /// Representatives of component health, as their `--listen` says: shows that, too.
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',')]
    health: Vec<String>,
    #[command(flatten)]
    api: Api,
}

/// Gives the terminal back, whatever happens.
struct Screen(DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

pub(crate) fn run(top: Top) -> Outcome {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err("top needs a terminal; `gcs-monitor query --watch` writes lines".into());
    }
    let api = top.api.with_patience(PATIENCE);
    let color = std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let mut state = State::new(api.address().to_string(), color);
    let (to_agent, wants) = mpsc::channel();
    let (to_news, news) = mpsc::channel();
    let (told, ended) = (to_news.clone(), end_signals()?);
    thread::spawn(move || ask::agent(api, &wants, &told));
    if !top.health.is_empty() {
        thread::spawn(move || {
            if let Err(e) = ask::health(top.health, &to_news) {
                drop(to_news.send(News::Health(Err(e.to_string()))));
            }
        });
    }
    let mut screen = Screen(ratatui::try_init()?);
    let mut wanted = None;
    while !state.ended && ended.try_recv().is_err() {
        let now_s = now_s();
        state.now_s = now_s;
        news.try_iter().for_each(|news| state.on_news(now_s, news));
        screen.0.draw(|frame| draw::draw(frame, &state))?;
        let wants = state.wanted();
        if wanted.as_ref() != Some(&wants) {
            to_agent.send(wants.clone())?;
            wanted = Some(wants);
        }
        if event::poll(FRAME)?
            && let event::Event::Key(key) = event::read()?
            && key.kind != event::KeyEventKind::Release
        {
            state.on_key(key);
        }
    }
    Ok(())
}

/// Tells of a signal that wants the program to end.
fn end_signals() -> io::Result<mpsc::Receiver<()>> {
    let (to, ended) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let of = |kind| {
        let _inside = runtime.enter();
        signal(kind)
    };
    let mut signals = [of(SignalKind::terminate())?, of(SignalKind::hangup())?, of(SignalKind::interrupt())?];
    thread::spawn(move || {
        let [terminate, hangup, interrupt] = &mut signals;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        // Who has ended already need not be told.
        let _ = to.send(());
        // Where the terminal is gone, reading keys does not come back.
        thread::park_timeout(ENDS);
        ratatui::restore();
        std::process::exit(1);
    });
    Ok(ended)
}

#[expect(clippy::disallowed_methods, reason = "people look at it")]
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
