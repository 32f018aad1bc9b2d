//! Members of a real group, an agent beside them, and what it says of them.

mod agent_processes;
#[path = "health_processes/children.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod children;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use agent_processes::{agent, until};
use children::{Kid, ports};

/// A folder of this test; it is removed with it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Killed when it is dropped.
struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Three members of a group, ready, with their control sockets in a folder.
fn members(folder: &str) -> Vec<Kid> {
    let all = ports(6);
    let contacts = all[..3].iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let start = |n: usize| {
        let (bind, listen) = (all[n], all[n + 3]);
        Kid::start(&format!(
            "serve --group watched --name m{n} --bind {bind} --contact {contacts} --expect 3 --listen {listen} --control {folder}"
        ))
    };
    let kids: Vec<Kid> = (0..3).map(start).collect();
    kids.iter().for_each(|kid| _ = kid.until(|line| line == "ready"));
    kids
}

#[test]
fn an_agent_tells_of_the_groups_beside_it_and_of_a_member_that_is_killed() {
    let folder = Folder(std::env::temp_dir().join(format!("gcs-monitor-groups-{}", std::process::id())));
    let sockets = folder.0.join("sockets");
    fs::create_dir_all(&sockets).expect("a folder");
    let sockets = sockets.to_str().expect("text");
    let attributes = folder.0.join("attributes.toml");
    let config = format!("[host]\nattributes = []\n[groups]\nfolder = {sockets:?}\nevery = '100ms'\n");
    fs::write(&attributes, config).expect("it is written");
    let mut kids = members(sockets);
    let agent = agent("/a/1", &["--attributes", attributes.to_str().expect("text")]);
    let sql = "SELECT id, gcs_watched_processes AS processes, gcs_watched_members AS members, gcs_watched_primary AS prime, \
               gcs_watched_stack AS stack, gcs_watched_pending AS pending FROM \"/a\"";
    let whole = r#"["1",3,3,1,"total+uniform",0]"#;
    agent.until(&["query", sql, "--format", "json"], |_, text| text.replace([' ', '\n'], "").contains(whole));
    // Nothing is wrong now, and nothing fires; then a member is killed.
    let sql = "SELECT process, group_name, members FROM groups WHERE members < 3";
    let mut subscribe = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
    subscribe.args(["subscribe", "--api", &agent.api, "--format", "json", sql]);
    let mut follower = Follower(subscribe.stdout(Stdio::piped()).spawn().expect("it starts"));
    let mut lines = BufReader::new(follower.0.stdout.take().expect("piped")).lines();
    let mut line = || lines.next().expect("it goes on").expect("text");
    assert!(line().contains("\"subscribed\""));
    let killed = kids[2].child.id();
    kids[2].kill();
    // Two see it, at the same look or at two.
    let mut fired = String::new();
    for kid in &kids[..2] {
        let row = format!(r#"{{"group_name":"watched","members":2,"process":{}}}"#, kid.child.id());
        let other = format!(r#"{{"process":{},"group_name":"watched","members":2}}"#, kid.child.id());
        while !fired.contains(&row) && !fired.contains(&other) {
            fired += &line();
        }
    }
    assert!(!fired.contains(&killed.to_string()), "{fired}");
    let after = r#"[2,2,1]"#;
    let sql = "SELECT gcs_watched_processes AS processes, gcs_watched_members AS members, gcs_watched_primary AS prime FROM \"/a\"";
    agent.until(&["query", sql, "--format", "json"], |_, text| text.replace([' ', '\n'], "").contains(after));
    // All are gone: nothing is said of the group any more.
    drop(kids);
    let sql = "SELECT COALESCE(gcs_watched_members, 'absent') AS members FROM \"/a\"";
    agent.until(&["query", sql, "--format", "json"], |_, text| text.contains("\"absent\""));
    until(|| match fs::read_dir(sockets).expect("it is there").count() {
        3 => Ok(()),
        n => Err(format!("{n} sockets, of three members that were killed")),
    });
}
