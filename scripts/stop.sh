#!/usr/bin/env bash
# Stops the service of this installation, whichever supervisor runs it, and nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/common.sh
source scripts/lib/common.sh
# shellcheck source=scripts/lib/running.sh
source scripts/lib/running.sh

usage() {
  if [ "$language" = zh ]; then cat <<'TEXT'
用法：scripts/stop.sh [--force] [--clean [--yes]]

  （无选项）   有序停机：通知各连接重连，处理完已收到的发布请求，最长 DRAIN_TIMEOUT 加数秒
  --force      3 秒内未停止则强制结束；已确认的消息不会丢失
  --clean      停止后清理 PID 文件与 PM2 条目；删除日志与消息前会询问
  --yes        不询问，直接删除
TEXT
  else cat <<'TEXT'
Usage: scripts/stop.sh [--force] [--clean [--yes]]

  (no option)  graceful stop: streams are told to reconnect and pending publishes are answered; takes at most
               DRAIN_TIMEOUT plus a few seconds
  --force      kill the service if it has not stopped within 3 seconds; no acknowledged message is lost
  --clean      afterwards remove the pid file and the PM2 entry and, after asking, the log and the stored messages
  --yes        delete without asking
TEXT
  fi
}

force=false
clean=false
yes=false
for argument in "$@"; do
  case "$argument" in
    --force) force=true ;;
    --clean) clean=true ;;
    --yes | -y) yes=true ;;
    -h | --help) usage; exit 0 ;;
    *) unknown_option "$argument" ;;
  esac
done

ENVIRONMENT=$(guess_environment)
export ENVIRONMENT
# The service can be stopped even if the configuration has become invalid.
load_settings 2>/dev/null || true
if $force; then grace_seconds=3; else grace_seconds=$(($(setting DRAIN_TIMEOUT 20) + 12)); fi

# stop_process PID sends SIGTERM, waits, and with --force kills; never a process that has reused the pid meanwhile.
stop_process() {
  local pid=$1 start tries=0
  start=$(start_of "$pid")
  kill -TERM "$pid" || return 1
  while [ "$(start_of "$pid")" = "$start" ] && is_ours "$pid"; do
    if [ $((tries += 1)) -gt $((grace_seconds * 5)) ]; then
      if ! $force; then return 1; fi
      kill -KILL "$pid" 2>/dev/null || true
    fi
    sleep 0.2
  done
}

stop_under_pm2() {
  local ids pid
  ids=$(pm2_processes | cut -d ' ' -f 1)
  # PM2 itself waits for kill_timeout.
  if $force; then for pid in $pids; do (sleep "$grace_seconds"; if is_ours "$pid"; then kill -KILL "$pid"; fi) >/dev/null 2>&1 & done; fi
  # shellcheck disable=SC2086
  "${pm2[@]}" stop $ids >/dev/null
}

stopped=false
find_service
# Repeats, because a second instance may run under another supervisor; but not for ever, since one may restart it.
for _ in 1 2 3 4; do
  if [ "$runner" = none ]; then break; fi
  say "Stopping ($(runner_line)) …" "正在停止（$(runner_line)）……"
  case "$runner" in
    pm2) find_pm2; stop_under_pm2 ;;
    systemd) systemctl stop "$name" ;;
    docker) "${compose[@]}" stop "$name" ;;
    process)
      for pid in $pids; do
        stop_process "$pid" || die "The service has not stopped within $grace_seconds s (pid $pid). Use --force." \
          "进程 $pid 在 $grace_seconds 秒内未结束。请使用 --force。"
      done ;;
  esac
  stopped=true
  find_service
done
if [ "$runner" != none ]; then
  die "The service is running again ($(runner_line)): something restarts it." \
    "服务停止后又开始运行（$(runner_line)）：有其他程序将其重新启动。"
fi
rm -f "$pid_file"
if $stopped; then say 'Stopped.' '已停止。'; else say 'The service is not running.' '服务未在运行。'; fi

port=$(setting SERVICE_PORT 8089)
if port_is_taken "$port"; then
  holder=$(holder_of "$port")
  say "Port $port is taken by another program, which was left alone: $holder" \
    "端口 $port 被其他程序占用，未停止该程序：$holder"
fi

# ---- --clean ----

# delete QUESTION-EN QUESTION-ZH FILE… deletes the named files only; folders and other files in them stay.
delete() {
  local english=$1 chinese=$2 file files=()
  shift 2
  for file in "$@"; do
    if [ ! -f "$file" ]; then continue; fi
    if is_open "$file"; then
      say "$file is in use by another process and was kept." "$file 正被其他进程使用，已保留。"
      return 0
    fi
    files+=("$file")
  done
  if [ "${#files[@]}" -eq 0 ]; then return 0; fi
  printf '  %s\n' "${files[@]}"
  if $yes || confirm "$english" "$chinese"; then rm -f "${files[@]}"; else say 'Kept.' '已保留。'; fi
}

if $clean; then
  if pm2_daemon_runs && find_pm2; then
    ids=$(pm2_processes | cut -d ' ' -f 1)
    # shellcheck disable=SC2086
    if [ -n "$ids" ]; then "${pm2[@]}" delete $ids >/dev/null; fi
  fi
  rm -f run/environment
  shopt -s nullglob
  log=$(setting LOG_FILE logs/$name.log)
  if [ "$log" = none ]; then log=logs/$name.log; fi
  delete 'Delete these logs?' '删除以上日志？' "$log" "$log".* "${log%.log}".[0-9]*.log
  data=$(setting DATA_DIR data)
  delete 'Delete these stored messages? Streams will get a gap.' '删除以上已存储的消息？各连接将收到 gap 事件。' \
    "$data"/messages.db "$data"/messages.db[-.]*
  if [ "$(setting MESSAGE_QUEUE_TYPE)" = redis ]; then
    say 'Data in Redis was kept.' 'Redis 中的数据已保留。'
  fi
fi
