#!/bin/sh
# Restores the latest backup into a scratch database, and checks it.
# For those who have the runbook's script of this name in cron: the same as `vodtender restore --test`,
# whose arguments it takes and whose exit status it has.
here=$(dirname "$(readlink -f "$0")")
PATH="$PATH:$(dirname "$0"):$here:$here/../.venv/bin"
command -v vodtender >/dev/null || {
    echo "$0: there is no vodtender, neither on PATH nor beside this script" >&2
    exit 127
}
exec vodtender restore --test "$@"
