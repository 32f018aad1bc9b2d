//! Hosts to play with: network namespaces on one Ethernet, inside namespaces of a program's own. For demonstrations and measurements.
//!
//! A program starts itself again inside ([`again_inside`]) and sets up there what it needs ([`build`]). All of that ends with it, and it ends when
//! its standard input does ([`end_with_parent`]); so whatever ends the first process, killed or not, the kernel removes everything: processes,
//! interfaces, mounts, files. Needs root, or a system that lets users make namespaces; `unshare` and `ip`.

use std::{
    io::{self, Read as _},
    net::Ipv4Addr,
    process::{Command, Stdio},
    thread,
};

/// In the namespaces, a folder in memory that is gone with them.
pub const FILES: &str = "/run";

const NAMESPACES: [&str; 7] =
    ["--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"];

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    let id = Command::new("id").arg("-u").output();
    if !id.is_ok_and(|o| o.stdout.trim_ascii() == b"0") {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(NAMESPACES);
    command
}

/// Whether this machine lets us have namespaces of our own.
#[must_use]
pub fn is_possible() -> bool {
    let unshare = unshare().arg("true").stderr(Stdio::null()).status();
    let ip = Command::new("ip").arg("-V").stdout(Stdio::null()).status();
    unshare.is_ok_and(|s| s.success()) && ip.is_ok_and(|s| s.success())
}

/// Runs this program again with the same arguments and one more, in namespaces of its own. It says itself why it fails.
///
/// # Errors
/// It cannot be started, or fails.
pub fn again_inside(argument: &str) -> io::Result<()> {
    if !is_possible() {
        return Err(io::Error::other(
            "this needs unshare, ip, and root or a system that lets users make namespaces (sysctl user.max_user_namespaces)",
        ));
    }
    let mut inside = unshare()
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg(argument)
        .stdin(Stdio::piped())
        .spawn()?;
    // Its other end closes when this process ends, however it does.
    let held = inside.stdin.take();
    let status = inside.wait()?;
    drop(held);
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("it has failed: {status}"))) }
}

/// Ends this process when the one that started it has ended, however it did: it holds the other end of standard input.
pub fn end_with_parent() {
    thread::spawn(|| {
        let mut end = [0];
        let _ = io::stdin().read(&mut end);
        std::process::exit(130);
    });
}

/// The address of host `i`; all have 24 bits in common.
///
/// # Panics
/// From host 255 on.
#[must_use]
pub fn address(i: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, u8::try_from(i + 1).expect("at most 255 hosts"))
}

/// Sets up hosts with these names, on one switch, whose interfaces `eth0` carry packets of `mtu` bytes.
///
/// # Errors
/// A command fails.
pub fn build<S: AsRef<str>>(hosts: &[S], mtu: usize) -> io::Result<()> {
    shell(&format!("mount -t tmpfs tmpfs {FILES} && ip link set lo up"))?;
    shell(&format!("ip link add br0 type bridge && ip link set br0 mtu {mtu} up"))?;
    for (i, host) in hosts.iter().enumerate() {
        let (host, ip) = (host.as_ref(), address(i));
        shell(&format!(
            "ip netns add {host} && ip link add v{i} type veth peer name eth0 netns {host} && \
             ip link set v{i} mtu {mtu} master br0 up && ip -n {host} addr add {ip}/24 dev eth0 && \
             ip -n {host} link set eth0 mtu {mtu} up && ip -n {host} link set lo up"
        ))?;
    }
    Ok(())
}

/// This program, on a host.
///
/// # Errors
/// The system does not say which program this is.
pub fn on(host: &str) -> io::Result<Command> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", host]).arg(std::env::current_exe()?);
    Ok(command)
}

fn shell(line: &str) -> io::Result<()> {
    let output = Command::new("sh").args(["-c", line]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("failed: {line}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
