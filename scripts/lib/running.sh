# shellcheck shell=bash
# Finds the running processes of this installation and their supervisor. A noted pid counts only if its process has the
# noted start time and runs this installation's program: pids are reused, and other checkouts run the same program.

readonly pid_file=run/$name.pid

# Prints the start time of a process, in the system's own unit; nothing when there is no such process.
start_of() {
  local stat
  if [ -d /proc/self ]; then
    # The second field is a name that may contain spaces and parentheses.
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    echo "${20}"
  else ps -o lstart= -p "$1"; fi
}

command_of() {
  if [ -d /proc/self ]; then { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null; else ps -o args= -p "$1"; fi
}

folder_of() {
  if [ -d /proc/self ]; then readlink "/proc/$1/cwd"; else lsof -a -p "$1" -d cwd -Fn | sed -n 's/^n//p'; fi 2>/dev/null
}

parent_of() {
  if [ -d /proc/self ]; then sed -n 's/^PPid:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null; else ps -o ppid= -p "$1"; fi
}

# Prints the executable of a process; npm may have replaced the file meanwhile.
program_of() {
  if [ -d /proc/self ]; then readlink "/proc/$1/exe" 2>/dev/null | sed 's/ (deleted)$//'; else ps -o comm= -p "$1"; fi
}

# True when the process is a Node.js that runs the program of this installation, not a shell or editor with its name.
is_ours() {
  case "$(program_of "$1")" in */node | */nodejs | node) ;; *) return 1 ;; esac
  case " $(command_of "$1") " in
    *" $root/$main "*) return 0 ;;
    *" $main "*) [ "$(folder_of "$1")" = "$root" ] ;;
    *) return 1 ;;
  esac
}

# write_pid_file PID
write_pid_file() { mkdir -p run && printf '%s\n%s\n' "$1" "$(start_of "$1")" >"$pid_file"; }

# Prints the pid in the pid file if that process is alive and belongs to this installation.
pid_from_file() {
  local pid='' start=''
  { read -r pid && read -r start; } 2>/dev/null <"$pid_file" || return 0
  case "$pid" in '' | *[!0-9]*) return 0 ;; esac
  if [ "$(start_of "$pid")" = "$start" ] && is_ours "$pid"; then echo "$pid"; fi
}

# True when a process that this user may see has the file open.
is_open() {
  local fd
  if has lsof; then lsof -t -- "$1" >/dev/null 2>&1; return; fi
  for fd in /proc/[0-9]*/fd/*; do if [ "$fd" -ef "$1" ]; then return 0; fi; done
  return 1
}

port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Prints the pids of processes that listen on a port, as far as this user may see them.
listeners_of() {
  if has ss; then ss -Hltnp "sport = :$1" 2>/dev/null | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -un
  elif has lsof; then lsof -nP -t -iTCP:"$1" -sTCP:LISTEN 2>/dev/null; fi
  return 0
}

# Prints the pid of this installation's process on a port; with several workers, that of their primary process.
pid_on_port() {
  local pid parent
  for pid in $(listeners_of "$1"); do
    if ! is_ours "$pid"; then continue; fi
    parent=$(parent_of "$pid")
    if is_ours "$parent"; then pid=$parent; fi
    echo "$pid"
    return 0
  done
}

# Describes the first process that listens on a port.
holder_of() {
  local pid
  pid=$(listeners_of "$1" | head -n 1)
  if [ -z "$pid" ]; then say 'a process of another user (retry as root)' '其他用户的进程（请以 root 身份重试）'
  else echo "$(command_of "$pid" | cut -c 1-120 | sed 's/ *$//') (pid $pid)"; fi
}

die_when_port_is_taken() {
  if ! port_is_taken "$1"; then return 0; fi
  local holder
  holder=$(holder_of "$1")
  die "Port $1 (SERVICE_PORT) is taken by $holder. Stop it (scripts/stop.sh if it is this service), or choose another port." \
    "端口 $1（SERVICE_PORT）已被占用：$holder。请停止该进程（若为本服务，用 scripts/stop.sh），或更换端口。"
}

# ---- PM2 ----

# Sets `pm2` to the command. In cluster mode its daemon runs the service, so it must use a Node.js that is new enough.
find_pm2() {
  local file=node_modules/.pm2/node_modules/pm2/bin/pm2
  if has pm2; then
    file=$(readlink -f "$(command -v pm2)")
    case "$(head -n 1 "$file")" in *node*) ;; *) pm2=(pm2); return 0 ;; esac
  elif [ ! -f "$file" ]; then return 1; fi
  pm2=(scripts/with-node.sh "$file")
}

pm2_daemon_runs() {
  local pid
  # Calling PM2 would start a daemon.
  pid=$(cat "${PM2_HOME:-$HOME/.pm2}/pm2.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null
}

# Prints a line `id pid status mode` for each process of this installation in PM2.
pm2_processes() {
  if pm2_daemon_runs && find_pm2; then
    "${pm2[@]}" jlist 2>/dev/null | scripts/with-node.sh scripts/lib/pm2-processes.mjs "$root/$main"
  fi
}

# Deletes the old processes first: PM2 keeps the mode and the number of processes that a name once had.
start_pm2_processes() {
  local ids
  ids=$(pm2_processes | cut -d ' ' -f 1)
  # shellcheck disable=SC2086
  if [ -n "$ids" ]; then "${pm2[@]}" delete $ids >/dev/null; fi
  "${pm2[@]}" start ecosystem.config.js --env "$ENVIRONMENT"
}

# ---- systemd ----

unit_is_ours() {
  has systemctl && [ "$(systemctl show --property=WorkingDirectory --value "$name" 2>/dev/null)" = "$root" ]
}

# ---- Docker ----

# Sets `compose` to the command.
find_compose() {
  if docker compose version >/dev/null 2>&1; then compose=(docker compose)
  elif has docker-compose; then compose=(docker-compose)
  else return 1; fi
}

# Prints the id of the container if it runs; some versions of Compose also list stopped ones.
running_container() {
  local id
  id=$("${compose[@]}" ps -q "$name" 2>/dev/null | head -n 1)
  if [ -n "$id" ] && [ "$(docker inspect --format '{{.State.Running}}' "$id")" = true ]; then echo "$id"; fi
}

wait_for_container() {
  local id tries=0
  id=$("${compose[@]}" ps -q "$name")
  while [ $((tries += 1)) -le 60 ]; do
    case "$(docker inspect --format '{{.State.Health.Status}}' "$id")" in
      healthy) return 0 ;;
      unhealthy) return 1 ;;
    esac
    sleep 1
  done
  return 1
}

# ---- All of them ----

# Describes what runs.
runner_line() { echo "$runner${pids:+, pid ${pids//$'\n'/ }}"; }

# Sets `runner` to pm2, systemd, docker, process or none, and `pids` to the processes on this machine.
find_service() {
  runner=none
  pids=$(pm2_processes | awk '$3 == "online" || $3 == "launching" { print $2 }')
  if [ -n "$pids" ]; then runner=pm2; return 0; fi
  if unit_is_ours; then
    pids=$(systemctl show --property=MainPID --value "$name")
    if [ "${pids:-0}" != 0 ]; then runner=systemd; return 0; fi
  fi
  pids=$(pid_from_file)
  if [ -z "$pids" ]; then pids=$(pid_on_port "$(setting SERVICE_PORT 8089)"); fi
  if [ -n "$pids" ]; then runner=process; return 0; fi
  if find_compose && [ -n "$(running_container)" ]; then runner=docker; fi
}
