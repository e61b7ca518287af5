# SPDX-License-Identifier: Apache-2.0
# SIGHUP with a broken INI: the old configuration stays in force and the log names file and line; with a right one the new values are taken over.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
wait_for 60 "node1 has figures" has_node node1
pid=$(daemon_pid)
cp "$ini" "$ini.good"
trap 'mv "$ini.good" "$ini"; kill -HUP "$(daemon_pid)" 2>/dev/null || true' EXIT

from=$(log_lines)
{ cat "$ini.good"; echo 'metric-resolutoin = 10s'; echo 'kubelet-port = ninety'; } >"$ini"
typo=$(grep -n resolutoin "$ini" | cut -d: -f1)
kill -HUP "$pid"
wait_for 20 "the log names file and line of the unknown key" logged_since "$from" "kmetricsd.ini:$typo: .*metric-resolutoin.*did you mean metric-resolution"
wait_for 20 "and of the bad value" logged_since "$from" "kmetricsd.ini:$((typo + 1)): kubelet-port"
wait_for 20 "the old configuration stays" logged_since "$from" "old configuration stays in force"
has_node node1
status=0
kmetricsd config check --config "$ini" || status=$?
[ "$status" = 2 ] || fail "config check ended with $status, not 2"

from=$(log_lines)
sed 's/^metric-resolution = .*/metric-resolution = 7s/' "$ini.good" >"$ini"
kill -HUP "$pid"
wait_for 20 "a right INI is taken over" logged_since "$from" "reloaded"
wait_for 40 "figures go on" has_node node1
[ "$pid" = "$(daemon_pid)" ] || fail "the daemon was restarted"
