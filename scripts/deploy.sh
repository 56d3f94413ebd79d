#!/usr/bin/env bash
# Deploys this checkout: checks first, tries the new build beside the running one, switches, verifies, and rolls back to
# the last good version if any of that fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/install.sh
source scripts/install.sh
# shellcheck source=scripts/lib/common.sh
source scripts/lib/common.sh
# shellcheck source=scripts/lib/running.sh
source scripts/lib/running.sh
# shellcheck source=scripts/lib/release.sh
source scripts/lib/release.sh
# shellcheck source=scripts/lib/nginx.sh
source scripts/lib/nginx.sh

usage() {
  if [ "$language" = zh ]; then cat <<'TEXT'
用法：scripts/deploy.sh --env production|development --pm2|--docker|--systemd [--with-nginx] [--dry-run]

  --env          环境，读取对应的 config/ENV.env（默认 production）
  --pm2          由 PM2 运行（默认）；Redis 引擎下为 cluster 模式，重载不中断
  --docker       由 Docker Compose 运行
  --systemd      安装并启用 systemd 单元（需要 root）
  --with-nginx   同时安装 config/nginx.conf 作为反向代理
  --dry-run      只做检查，并显示将执行的操作

被替换的文件备份到 run/backup/；部署失败时自动回滚到上一个正常版本。
TEXT
  else cat <<'TEXT'
Usage: scripts/deploy.sh --env production|development --pm2|--docker|--systemd [--with-nginx] [--dry-run]

  --env          environment, which selects config/ENV.env (production)
  --pm2          run under PM2 (default); in cluster mode on Redis, where a reload interrupts nobody
  --docker       run with docker compose
  --systemd      install and enable the systemd unit (needs root)
  --with-nginx   also install config/nginx.conf as the reverse proxy
  --dry-run      only check, and show what would be done

Replaced files are backed up to run/backup/. A failed deployment is rolled back to the last good version.
TEXT
  fi
}

export ENVIRONMENT=production
target=pm2
with_nginx=false
dry_run=false
while [ $# -gt 0 ]; do
  case "$1" in
    --env) ENVIRONMENT=${2:-}; shift ;;
    --env=*) ENVIRONMENT=${1#--env=} ;;
    --pm2 | --docker | --systemd) target=${1#--} ;;
    --with-nginx) with_nginx=true ;;
    --dry-run) dry_run=true ;;
    -h | --help) usage; exit 0 ;;
    *) unknown_option "$1" ;;
  esac
  shift
done
case "$ENVIRONMENT" in
  production | development) ;;
  *) die "--env must be production or development, not '$ENVIRONMENT'" "--env 须为 production 或 development，而非 '$ENVIRONMENT'" ;;
esac
backup=run/backup/$(date +%Y%m%d-%H%M%S)
unit_file=/etc/systemd/system/$name.service

step() { say "== $1" "== $2"; }

# would COMMAND… is true in a dry run, and then prints the command instead of running it.
would() { $dry_run && printf '   %s\n' "$*"; }

# ---- Checks, which change nothing ----

check() {
  local free_kb
  step 'Checking' '检查'
  case "$target" in
    pm2) find_pm2 || die 'PM2 is missing: npm install -g pm2' '缺少 PM2：npm install -g pm2' ;;
    docker) find_compose || die 'Docker Compose is missing.' '缺少 Docker Compose。' ;;
    systemd)
      has systemctl || die 'This machine has no systemd.' '本机没有 systemd。'
      [ "$(id -u)" -eq 0 ] || die '--systemd needs root.' '--systemd 需要 root 权限。'
      case "$root/" in
        /home/* | /root/*) die "The unit cannot see $root (ProtectHome): move the service to /opt/$name." \
          "单元无法访问 $root（ProtectHome）：请将代码移至 /opt/$name。" ;;
      esac ;;
  esac
  if $with_nginx && [ "$target" != docker ]; then check_nginx; fi
  free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
  [ "$free_kb" -gt 1048576 ] || die "Less than 1 GB free at $root." "$root 可用空间不足 1 GB。"
  runner=none
  if [ "$target" != docker ] && load_settings 2>/dev/null; then check_port; fi
}

# The port must be free or belong to the service that will be replaced.
check_port() {
  find_service
  if [ "$runner" = none ]; then die_when_port_is_taken "$(setting SERVICE_PORT 8089)"; fi
  if [ "$runner" != none ] && [ "$runner" != "$target" ]; then
    die "The service runs under another supervisor ($runner). Stop it first: scripts/stop.sh" \
      "服务已由其他进程管理器运行（$runner）。请先停止：scripts/stop.sh"
  fi
}

# ---- Rolling back ----

switched=false
deployed=false
# Runs on every exit: after a failed command, a failed check or a signal.
go_back_unless_deployed() {
  if $deployed || $dry_run; then return 0; fi
  set +e
  warn '== Failed. Rolling back' '== 失败，正在回滚'
  if $with_nginx; then restore_nginx "$backup"; fi
  if [ "$target" = docker ]; then restore_image
  elif ! restore_release; then
    warn 'There is no earlier version to roll back to. See scripts/status.sh --logs' \
      '没有可供回滚的旧版本。请查看 scripts/status.sh --logs'
    if $switched; then scripts/stop.sh --force; fi
  elif ! $switched; then
    warn 'The files of the last good version are restored; the running service was not touched.' '已恢复上一个正常版本的文件；运行中的服务未受影响。'
  elif start_again && check_health --wait 30; then
    warn 'The last good version is running again.' '上一个正常版本已恢复运行。'
  else
    warn 'The last good version did not become ready either. See scripts/status.sh --logs' \
      '上一个正常版本也未能就绪。请查看 scripts/status.sh --logs'
  fi
  exit 1
}

start_again() {
  case "$target" in
    pm2) start_pm2_processes >/dev/null ;;
    systemd)
      if [ -f "$backup/$name.service" ]; then cp -p "$backup/$name.service" "$unit_file" && systemctl daemon-reload; fi
      systemctl restart "$name" ;;
  esac
}

restore_image() {
  if ! docker image inspect "$name:last-good" >/dev/null 2>&1; then return 0; fi
  docker tag "$name:last-good" "$name"
  "${compose[@]}" up -d --no-build
}

# ---- Build ----

build() {
  step 'Building' '构建'
  would npm ci, tsc -b packages/server packages/doctor && return
  # Without a kept version, the files of the running service are the last good ones.
  if [ ! -d "$last_good" ] && [ "$runner" != none ]; then keep_release; fi
  install_packages .
  build_packages
}

try_build() {
  step 'Trying the new build beside the running one' '试运行新版本（不影响运行中的版本）'
  would scripts/lib/try-build.mjs && return
  scripts/with-node.sh scripts/lib/try-build.mjs
}

# ---- Switching ----

switch_pm2() {
  local mode
  would pm2 startOrReload ecosystem.config.js --env "$ENVIRONMENT" && return
  if [ "$(setting MESSAGE_QUEUE_TYPE)" = redis ]; then mode=cluster; else mode=fork; fi
  # A reload keeps the mode and the number of processes; if these differ, or nothing runs, start anew.
  if [ "$runner" = pm2 ] && [ "$(pm2_processes | cut -d ' ' -f 4 | sort -u)" = "$mode" ] &&
    [ "$(pm2_processes | wc -l)" -eq "$(setting WORKER_THREADS 1)" ]; then
    "${pm2[@]}" reload ecosystem.config.js --env "$ENVIRONMENT" --update-env
  else start_pm2_processes; fi
}

switch_systemd() {
  local data
  would install "$unit_file", systemctl enable, systemctl restart "$name" && return
  id message-push >/dev/null 2>&1 || useradd --system --user-group --no-create-home --home-dir "$root" message-push
  data=$(setting DATA_DIR)
  case "$data" in /*) ;; *) data=$root/$data ;; esac
  mkdir -p "$data" logs "$backup"
  chown -R message-push:message-push "$data" logs
  if [ -f "config/$ENVIRONMENT.env" ]; then
    chgrp message-push "config/$ENVIRONMENT.env" && chmod 640 "config/$ENVIRONMENT.env"
  fi
  if [ -f "$unit_file" ]; then cp -p "$unit_file" "$backup/"; fi
  sed -e "s#/opt/message-push-service/data#$data#; s#/opt/message-push-service#$root#g" \
    -e "s/^Environment=ENVIRONMENT=[a-z]*/Environment=ENVIRONMENT=$ENVIRONMENT/" \
    -e "s/^TimeoutStopSec=.*/TimeoutStopSec=$(($(setting DRAIN_TIMEOUT 20) + 15))/" \
    "deploy/systemd/$name.service" >"$unit_file"
  systemctl daemon-reload
  systemctl enable "$name"
  systemctl restart "$name"
}

switch_docker() {
  local profiles=()
  if $with_nginx; then profiles=(--profile proxy); fi
  would "${compose[@]}" ${profiles[@]+"${profiles[@]}"} up -d --build && return
  if docker image inspect "$name" >/dev/null 2>&1; then docker tag "$name" "$name:last-good"; fi
  if $with_nginx; then make_certificate ssl; fi
  "${compose[@]}" build
  "${compose[@]}" ${profiles[@]+"${profiles[@]}"} up -d
}

# Installs files under /etc, which needs root.
install_system_files() {
  local file
  if [ "$(id -u)" -ne 0 ] || [ "$target" != pm2 ] || [ ! -d /etc/logrotate.d ]; then return 0; fi
  file=/etc/logrotate.d/$name
  would install "$file" && return
  if [ -f "$file" ]; then mkdir -p "$backup" && cp -p "$file" "$backup/logrotate"; fi
  sed "s#/opt/message-push-service#$root#g" "deploy/logrotate/$name" >"$file"
}

# ---- Verifying ----

# Checks that the service is ready and that its processes are the same a moment later: a process that crashes is
# restarted at once and may look ready.
verify() {
  local before
  step 'Verifying' '验证'
  would scripts/status.sh --health && return
  if [ "$target" = docker ]; then wait_for_container; return; fi
  check_health --wait 30
  find_service
  before=$pids
  sleep 3
  check_health
  find_service
  if [ "$runner" != "$target" ] || [ "$pids" != "$before" ]; then
    warn 'The processes keep restarting: the service does not stay up.' '进程反复重启，未能稳定运行。'
    return 1
  fi
}

verify_nginx() {
  would scripts/lib/check-health.mjs --url https://127.0.0.1 && return
  scripts/with-node.sh scripts/lib/check-health.mjs --url https://127.0.0.1 --wait 10
  case "$(setting TRUST_PROXY)" in false) say 'Set TRUST_PROXY=127.0.0.1, or all clients have the address of nginx.' \
    '请设置 TRUST_PROXY=127.0.0.1，否则所有客户端都显示为 nginx 的地址。' ;; esac
}

# Creates a missing configuration, with an API key required.
make_config() {
  if [ -f "config/$ENVIRONMENT.env" ] || would make "config/$ENVIRONMENT.env" from its example; then return 0; fi
  ensure_config
  if $with_nginx && [ "$target" != docker ] && [ -f "config/$ENVIRONMENT.env" ]; then
    printf '\n# nginx on this machine is in front of the service.\nSERVICE_HOST=127.0.0.1\nTRUST_PROXY=127.0.0.1\n' >>"config/$ENVIRONMENT.env"
  fi
}

deploy_in_docker() {
  make_config
  step 'Switching' '切换'
  switched=true
  switch_docker
  verify
}

deploy_here() {
  build
  make_config
  # A dry run has built nothing and created no configuration, so there may be no settings.
  load_settings 2>/dev/null || $dry_run || load_settings
  check_port
  try_build
  step 'Switching' '切换'
  switched=true
  "switch_$target"
  install_system_files
  verify
  if $with_nginx; then
    step nginx nginx
    would install "$nginx_conf", nginx -s reload || install_nginx "$backup" "$(setting SERVICE_PORT)"
    verify_nginx
  fi
}

check
trap go_back_unless_deployed EXIT
trap 'exit 130' INT TERM
if [ "$target" = docker ]; then deploy_in_docker; else deploy_here; fi
if $dry_run; then say 'Nothing was changed.' '未做任何更改。'; exit 0; fi
deployed=true
remember_environment
if [ "$target" != docker ]; then keep_release; fi
say "== Deployed: $(service_url)" "== 部署完成：$(service_url)"
if [ "$target" = pm2 ]; then say 'To start it at boot: pm2 save && pm2 startup' '开机自启：pm2 save && pm2 startup'; fi
