# SPDX-License-Identifier: Apache-2.0
# Counting and reporting for the test runners (sourced by bash scripts). A case is a command; its output is kept and shown only when it fails.
# The last line of a runner is "N passed, N failed" (", N skipped" when some were), and a runner with a failed or a skipped case exits non-zero.

passed=0 failed=0 skipped=0
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
	green=$'\e[32m' red=$'\e[31m' yellow=$'\e[33m' plain=$'\e[0m'
else
	green='' red='' yellow='' plain=''
fi
case_log=$(mktemp "${TMPDIR:-/tmp}/kmetricsd-test.XXXXXX")

# report NAME STATUS SECONDS LOG: counts and prints one case. Status 77 is a skip, which fails the runner; with absent_is_fine=yes it is a note and is not counted.
report() {
	local name=$1 status=$2 seconds=$3 log=$4
	case $status in
	0)
		passed=$((passed + 1))
		printf '%sok%s    %s (%d s)\n' "$green" "$plain" "$name" "$seconds"
		grep '^figure ' "$log" || true
		;;
	77)
		if [ "${absent_is_fine-}" = yes ]; then
			printf 'note  %s: %s\n' "$name" "$(tail -n 1 "$log")"
			return
		fi
		skipped=$((skipped + 1))
		printf '%sskip%s  %s: %s\n' "$yellow" "$plain" "$name" "$(tail -n 1 "$log")"
		;;
	*)
		failed=$((failed + 1))
		printf '%sFAIL%s  %s (exit %d, %d s)\n' "$red" "$plain" "$name" "$status" "$seconds"
		tail -n "${CASE_LOG_LINES:-80}" "$log" | sed 's/^/      /'
		;;
	esac
}

# run_case NAME COMMAND...
run_case() {
	local name=$1 start=$SECONDS status=0
	shift
	"$@" >"$case_log" 2>&1 </dev/null || status=$?
	report "$name" "$status" $((SECONDS - start)) "$case_log"
}

# queue NAME COMMAND...: a case for run_queued; the command is a program, or a function that was exported
queued=()
queue() {
	queued+=("$1")
	shift
	printf '%q ' "$@" >"$queue_dir/$((${#queued[@]} - 1)).command"
}
queue_dir=$(mktemp -d "${TMPDIR:-/tmp}/kmetricsd-queue.XXXXXX")

run_one_queued() {
	local start=$SECONDS status=0
	bash -c "$(cat "$queue_dir/$1.command")" >"$queue_dir/$1.log" 2>&1 </dev/null || status=$?
	echo "$status $((SECONDS - start))" >"$queue_dir/$1.status"
}

# Runs what was queued on all cores, then reports in the order of queueing.
run_queued() {
	local i status seconds
	export queue_dir
	export -f run_one_queued
	seq 0 $((${#queued[@]} - 1)) | xargs -P "$(nproc)" -I{} bash -c 'run_one_queued {}'
	for i in "${!queued[@]}"; do
		read -r status seconds <"$queue_dir/$i.status" || { status=125 seconds=0; }
		report "${queued[i]}" "$status" "$seconds" "$queue_dir/$i.log"
	done
	queued=()
}

# Adds what another runner counted: its last line.
add_counts() {
	local line=$1
	if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
		passed=$((passed + BASH_REMATCH[1]))
		failed=$((failed + BASH_REMATCH[2]))
		skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
	else
		failed=$((failed + 1))
		printf '%sFAIL%s  a runner ended without its counts: %s\n' "$red" "$plain" "$line"
	fi
}

# Prints the counts and exits.
finish() {
	rm -rf "$case_log" "$queue_dir"
	if [ "$skipped" -gt 0 ]; then
		printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	else
		printf '%d passed, %d failed\n' "$passed" "$failed"
	fi
	[ "$failed" -eq 0 ] && [ "$skipped" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}
