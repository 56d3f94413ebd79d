#!/usr/bin/env bash
# Shows the state of the service of this installation.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/common.sh
source scripts/lib/common.sh
# shellcheck source=scripts/lib/running.sh
source scripts/lib/running.sh

usage() {
  if [ "$language" = zh ]; then cat <<'TEXT'
用法：scripts/status.sh [--health | --logs [行数]] [--json]

  （无选项）   服务、引擎、连接、Redis、磁盘、最近的错误，以及下一步建议
  --health     只显示健康状态
  --logs       显示最近的日志（默认 50 行）
  --json       以 JSON 输出

退出码：0 正在服务；1 在运行但不健康或无响应；3 未运行。
TEXT
  else cat <<'TEXT'
Usage: scripts/status.sh [--health | --logs [LINES]] [--json]

  (no option)  service, engine, streams, Redis, disk, recent errors, and what to do next
  --health     only the health status
  --logs       the last lines of the log (50)
  --json       print JSON

Exit status: 0 serving, 1 running but unhealthy or not responding, 3 not running.
TEXT
  fi
}

show=all
format=text
lines=50
while [ $# -gt 0 ]; do
  case "$1" in
    --health | --logs) show=${1#--} ;;
    --json) format=json ;;
    -h | --help) usage; exit 0 ;;
    [0-9]*) lines=$1 ;;
    *) unknown_option "$1" ;;
  esac
  shift
done

ENVIRONMENT=$(guess_environment)
export ENVIRONMENT
# An invalid configuration is reported, but does not hide what runs.
problem=
load_settings 2>/dev/null || problem=$(load_settings 2>&1 >/dev/null || true)
find_service
# A container has its own build and configuration.
if [ "$runner" = docker ]; then problem=; fi

# Prints the last lines of the log, wherever this runner writes it.
log_lines() {
  local file
  file=$(setting LOG_FILE none)
  case "$runner" in
    systemd) journalctl --unit="$name" --lines="$1" --output=cat --no-pager ;;
    docker) "${compose[@]}" logs --no-color --no-log-prefix --tail="$1" "$name" ;;
    *)
      if [ "$file" = none ] || [ ! -f "$file" ]; then file=logs/$name.log; fi
      if [ -f "$file" ]; then tail -n "$1" "$file"; fi ;;
  esac
}

if [ "$show" = logs ]; then log_lines "$lines"; exit 0; fi
holder=
port=$(setting SERVICE_PORT 8089)
if [ "$runner" = none ] && port_is_taken "$port"; then holder=$(holder_of "$port"); fi
log_lines 500 2>/dev/null | SETTINGS=$settings scripts/with-node.sh scripts/lib/status-report.mjs \
  --environment "$ENVIRONMENT" --runner "$runner" --pids "$pids" --url "$(service_url)" --problem "$problem" \
  --holder "$holder" --show "$show" --format "$format" --language "$language"
