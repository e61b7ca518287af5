# SPDX-License-Identifier: Apache-2.0
# Starting, stopping and judging the components. The flags of each are DIR/flags/COMPONENT, one a line, read at every start,
# so that a test changes them between `stop` and `start`.

is_component() {
	local c
	for c in "${COMPONENTS[@]}"; do
		[ "$c" = "$1" ] && return 0
	done
	return 1
}

component_pid() { cat "$pids/$1" 2>/dev/null || true; }
alive() { ours "$(component_pid "$1")"; }

# launch COMPONENT: in the background of the machine, output to DIR/log/COMPONENT.log
launch() {
	local c=$1 inner flags
	alive "$c" && die "$c runs already (pid $(component_pid "$c"))"
	mapfile -t flags < <(grep -vE '^[[:space:]]*(#|$)' "$DIR/flags/$c")
	# shellcheck disable=SC2016 # expanded by the inner shell
	inner=$(in_machine sh -c 'exec 3>&1 >>"$1" 2>&1 </dev/null; shift; setsid "$@" 3>&- & echo $! >&3' \
		sh "$log/$c.log" "$kube/bin/$c" "${flags[@]}" 8>&-)
	host_pid "$inner" >"$pids/$c" || die "$c ended at once: $(tail -n 5 "$log/$c.log")"
}

# healthy COMPONENT: it answers, and is not an old one that is about to end
healthy() {
	local get=(in_net curl -sf --noproxy '*' --max-time 2)
	case $1 in
	etcd) [[ $("${get[@]}" http://127.0.0.1:2379/health) == *'"health":"true"'* ]] ;;
	containerd) ctr --address "$containerd_socket" --connect-timeout 2s version ;;
	kube-apiserver)
		[ "$("${get[@]}" --cacert "$ssl/ca.pem" --cert "$ssl/admin.pem" --key "$ssl/admin-key.pem" \
			"https://$NODE_IP:6443/readyz")" = ok ]
		;;
	kube-controller-manager) "${get[@]}" -k https://127.0.0.1:10257/healthz ;;
	kube-scheduler) "${get[@]}" -k https://127.0.0.1:10259/healthz ;;
	kubelet) "${get[@]}" http://127.0.0.1:10248/healthz ;;
	esac
}

# wait_for COMPONENT SECONDS WHAT COMMAND...: like poll, but gives up at once, with the end of the log, when COMPONENT has died
wait_for() {
	local c=$1 seconds=$2 what=$3 end=$((SECONDS + $2))
	shift 3
	until ("$@") >/dev/null 2>&1; do
		alive "$c" || why "$c has ended while waiting for: $what" "$c"
		[ $SECONDS -lt "$end" ] || why "not within $seconds s: $what" "$c"
		sleep 0.1
	done
}

# why TEXT COMPONENT: ends with TEXT and the end of the component's log
why() {
	printf 'cluster: the end of %s:\n' "$log/$2.log" >&2
	tail -n 25 "$log/$2.log" >&2 || true
	die "$1"
}

start_component() {
	launch "$1"
	wait_for "$1" 60 "$1 answers its health check" healthy "$1"
}

is_gone() { ! ours "$1"; }

# end_process PID SIGNAL SECONDS: sends SIGNAL, waits until the process is gone, kills it after SECONDS
end_process() {
	ours "$1" || return 0
	[ "$2" = 0 ] || kill "-$2" "$1" 2>/dev/null || true
	[ "$2" = KILL ] || kill -CONT "$1" 2>/dev/null || true
	poll "$3" is_gone "$1" && return 0
	kill -KILL "$1" 2>/dev/null || true
	poll 10 is_gone "$1"
}

# stop_component COMPONENT SIGNAL SECONDS
stop_component() {
	end_process "$(component_pid "$1")" "$2" "$3" || say "$1 does not end"
	rm -f "$pids/$1"
}
