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

# run_case NAME COMMAND...: exit 77 of the command is a skip, which fails the runner; with absent_is_fine=yes it is a note and is not counted
run_case() {
	local name=$1 start=$SECONDS status=0
	shift
	"$@" >"$case_log" 2>&1 </dev/null || status=$?
	case $status in
	0)
		passed=$((passed + 1))
		printf '%sok%s    %s (%d s)\n' "$green" "$plain" "$name" $((SECONDS - start))
		grep '^figure ' "$case_log" || true
		;;
	77)
		if [ "${absent_is_fine-}" = yes ]; then
			printf 'note  %s: %s\n' "$name" "$(tail -n 1 "$case_log")"
			return
		fi
		skipped=$((skipped + 1))
		printf '%sskip%s  %s: %s\n' "$yellow" "$plain" "$name" "$(tail -n 1 "$case_log")"
		;;
	*)
		failed=$((failed + 1))
		printf '%sFAIL%s  %s (exit %d, %d s)\n' "$red" "$plain" "$name" "$status" $((SECONDS - start))
		tail -n "${CASE_LOG_LINES:-80}" "$case_log" | sed 's/^/      /'
		;;
	esac
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
	rm -f "$case_log"
	if [ "$skipped" -gt 0 ]; then
		printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	else
		printf '%d passed, %d failed\n' "$passed" "$failed"
	fi
	[ "$failed" -eq 0 ] && [ "$skipped" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}
