# SPDX-License-Identifier: Apache-2.0
# What a lab takes from the host, and giving it back: a network namespace, a PID and a mount namespace ("the machine": the
# components and all containers run in it, so that the death of its first process ends every one of them, and their mounts
# and fixed paths in /run, /var/lib and /var/log go with it), and a cgroup.

# cgroup_mounts TYPE: the folders where hierarchies of version 1 ("cgroup"), 2 ("cgroup2") or both ("cgroup2?") are mounted
cgroup_mounts() {
	awk -v type="^$1\$" '{ for (i = 7; $i != "-"; i++); if ($(i + 1) ~ type) print $5 }' /proc/self/mountinfo | sort -u
}

# The cgroup mounts can carry a kubelet; says what is missing otherwise.
check_cgroups() {
	local have wanted missing=() c
	[ -n "$(cgroup_mounts 'cgroup2?')" ] || die "no cgroups are mounted: mount them below /sys/fs/cgroup (version 1 or 2)"
	if [ -n "$(cgroup_mounts cgroup)" ]; then
		# the controllers of a version 1 hierarchy are among its mount options
		have=$(awk '{ for (i = 7; $i != "-"; i++); if ($(i + 1) == "cgroup") print $(i + 3) }' /proc/self/mountinfo)
		wanted=(cpu cpuacct cpuset memory pids devices freezer)
	else
		have=$(cat "$(cgroup_mounts cgroup2 | head -n 1)/cgroup.controllers")
		wanted=(cpu cpuset memory pids)
	fi
	for c in "${wanted[@]}"; do
		grep -qw "$c" <<<"$have" || missing+=("$c")
	done
	[ ${#missing[@]} -eq 0 ] || die "this host's cgroups lack the controllers ${missing[*]}: the kubelet and runc cannot work here"
}

# The cgroup that holds all pods: the kubelet's cgroupRoot.
make_cgroups() {
	local m f c
	for m in $(cgroup_mounts 'cgroup2?'); do
		mkdir -p "$m/$NAME"
		if [ -e "$m/cgroup.controllers" ]; then
			for f in "$m" "$m/$NAME"; do
				for c in cpu cpuset io memory pids; do
					grep -qw "$c" "$f/cgroup.controllers" || continue
					echo "+$c" >"$f/cgroup.subtree_control" || die "the cgroup controller $c cannot be handed down in $f"
				done
			done
		else
			[ ! -e "$m/cpuset.cpus" ] || cat "$m/cpuset.cpus" >"$m/$NAME/cpuset.cpus"
			[ ! -e "$m/cpuset.mems" ] || cat "$m/cpuset.mems" >"$m/$NAME/cpuset.mems"
			# as much weight as the kubelet gives to all pods where they are at the top
			[ ! -e "$m/$NAME/cpu.shares" ] || echo $(($(nproc) * 1024)) >"$m/$NAME/cpu.shares"
		fi
	done
}

# Ends what still runs in the lab's cgroups and removes them; false while the kernel has not let go of them.
clear_cgroups() {
	local m d pid status=0
	for m in $(cgroup_mounts 'cgroup2?'); do
		[ -d "$m/$NAME" ] || continue
		while read -r d; do
			while read -r pid; do
				kill -KILL "$pid" 2>/dev/null || true
			done <"$d/cgroup.procs"
			rmdir "$d" || status=1
		done < <(find "$m/$NAME" -depth -type d) 2>/dev/null
	done
	return $status
}

# Both ends of the veth pair live in the namespace: the host gets no device. NODE_NET has room for more addresses on node0.
make_net() {
	with_netns_lock ip netns add "$NAME"
	ip -n "$NAME" link set lo up
	ip -n "$NAME" link add node0 type veth peer name node0-peer
	ip -n "$NAME" link set node0-peer up
	ip -n "$NAME" link set node0 up
	ip -n "$NAME" addr add "$NODE_IP/${NODE_NET#*/}" dev node0
	ip -n "$NAME" route add default dev node0 src "$NODE_IP"
	# where clouds answer: the kubelet asks at its start and would wait
	ip -n "$NAME" route add unreachable 169.254.0.0/16
}

# `ip netns add` makes /run/netns a mount point when it is none; the last lab to go undoes that. Labs do this one by one.
with_netns_lock() {
	local fd status=0
	exec {fd}</run
	flock "$fd"
	"$@" {fd}<&- || status=$?
	exec {fd}<&-
	return $status
}

remove_net() {
	if [ -e "$netns" ]; then
		ip netns del "$NAME" 2>/dev/null || rm -f "$netns"
	fi
	if [ -d /run/netns ] && [ -z "$(ls -A /run/netns)" ]; then
		umount -n /run/netns 2>/dev/null || true
		rmdir /run/netns 2>/dev/null || true
	fi
}

# start_machine DEFAULT_SOCKET(yes|no): starts the machine's first process; its own /proc, and folders of DIR in the places that the programs insist on. The
# kernel settings that a kubelet writes are copies, so that the host keeps its own. No name server: none could be reached.
start_machine() {
	local setting end=$((SECONDS + 10)) outer
	local settings=(vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys
		kernel/keys/root_maxbytes)
	mkdir -p "$DIR"/machine/{run/containerd,lib,log}
	# where the kubelet's cAdvisor looks for containerd
	[ "$1" = no ] || ln -s "$containerd_socket" "$DIR/machine/run/containerd/containerd.sock"
	for setting in "${settings[@]}"; do
		[ -e "/proc/sys/$setting" ] || continue
		mkdir -p "$DIR/machine/sys/${setting%/*}"
		cat "/proc/sys/$setting" >"$DIR/machine/sys/$setting"
	done
	rm -f "$DIR/machine/up"
	# shellcheck disable=SC2016 # expanded by the inner shell
	setsid nsenter "--net=$netns" -- unshare --pid --mount --propagation slave --fork --mount-proc -- sh -ec '
		m=$1/machine
		mount -n --bind "$m/run" /run
		mount -n --bind "$m/lib" /var/lib
		mount -n --bind "$m/log" /var/log
		[ ! -f /etc/resolv.conf ] || mount -n --bind "$2" /etc/resolv.conf
		for s in $(cd "$m/sys" && find . -type f); do mount -n --bind "$m/sys/$s" "/proc/sys/$s"; done
		: >"$m/up"
		exec "$m/init"
	' sh "$DIR" "$cfg/resolv.conf" </dev/null >"$log/machine.log" 2>&1 8>&- &
	outer=$!
	until [ -e "$DIR/machine/up" ]; do
		if ! kill -0 "$outer" 2>/dev/null || [ $SECONDS -ge $end ]; then
			why "the machine's namespaces could not be made" machine
		fi
		sleep 0.05
	done
	awk '{ print $1 }' "/proc/$outer/task/$outer/children" >"$pids/machine"
}

# in_machine COMMAND...: in all namespaces of the machine. What it leaves in the background becomes a child of the machine's
# first process, as with any daemon.
in_machine() {
	nsenter --target "$(cat "$pids/machine")" --net --pid --mount -- \
		env -i "PATH=$kube/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "HOME=$DIR/machine" LC_ALL=C "$@"
}

# host_pid PID: the host's number of a process that has PID in the machine
host_pid() {
	local init p
	init=$(cat "$pids/machine")
	for p in /proc/[0-9]*; do
		[ "$p/ns/pid" -ef "/proc/$init/ns/pid" ] || continue
		if [ "$(awk '/^NSpid:/ { print $NF }' "$p/status" 2>/dev/null)" = "$1" ]; then
			echo "${p#/proc/}"
			return 0
		fi
	done
	return 1
}

# ours PID: runs, and belongs to this lab (numbers are reused after crashes)
ours() {
	[ -n "$1" ] && [ -d "/proc/$1" ] || return 1
	[ "$(awk '/^State:/ { print $2 }' "/proc/$1/status" 2>/dev/null)" != Z ] || return 1
	[ "/proc/$1/ns/net" -ef "$netns" ] || tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -qF "$DIR/"
}

net_pids() { ip netns pids "$NAME" 2>/dev/null || true; }
net_is_empty() { [ -z "$(net_pids)" ]; }

# What a test has left running in the network, outside the machine (the daemon, say): asked to stop, then made to.
stop_guests() {
	local p guests=() outside
	outside=$(readlink /proc/self/ns/pid)
	for p in $(net_pids); do
		[ "$(readlink "/proc/$p/ns/pid" 2>/dev/null)" = "$outside" ] || continue
		# the parent of the machine's first process ends with that one
		[ "$(cat "/proc/$p/comm" 2>/dev/null)" = unshare ] || guests+=("$p")
	done
	[ ${#guests[@]} -gt 0 ] || return 0
	say "stopping what still runs in the network: ${guests[*]}"
	kill -TERM "${guests[@]}" 2>/dev/null || true
	kill -CONT "${guests[@]}" 2>/dev/null || true
	for p in "${guests[@]}"; do
		end_process "$p" 0 5
	done
}

# Ends the machine: its first process, and with it all others, containers included.
stop_machine() {
	local p
	p=$(cat "$pids/machine" 2>/dev/null || true)
	if ours "$p"; then
		kill -KILL "$p" 2>/dev/null || true
	fi
	# without its pid file the machine is found by its network
	for p in $(net_pids); do
		kill -KILL "$p" 2>/dev/null || true
	done
	poll 10 net_is_empty || say "processes of $NAME do not end: $(net_pids | tr '\n' ' ')"
}

# Mounts below DIR on the host's side (there should be none), deepest first.
unmount_below() {
	local m
	awk -v d="$DIR/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r m; do
		umount -nl "$(printf %b "$m")" || true
	done
}
