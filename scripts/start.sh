#!/usr/bin/env bash
# Starts the service: in the foreground, under PM2, or in Docker.
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

usage() {
  if [ "$language" = zh ]; then cat <<'TEXT'
用法：scripts/start.sh [--development | --production] [--pm2 | --docker]

  --development   安装缺少的依赖并构建，在前台运行（默认）
  --production    必要时构建，以 ENVIRONMENT=production 在前台运行
  --pm2           构建并交给 PM2 运行（默认 production），就绪后返回
  --docker        用 Docker Compose 构建并启动（production），就绪后返回
TEXT
  else cat <<'TEXT'
Usage: scripts/start.sh [--development | --production] [--pm2 | --docker]

  --development   install missing packages, build, and run in the foreground (default)
  --production    build if needed, and run in the foreground with ENVIRONMENT=production
  --pm2           build and run under PM2 (production by default); returns when the service is ready
  --docker        build and run with docker compose (production); returns when the service is ready
TEXT
  fi
}

environment=
runner=foreground
for argument in "$@"; do
  case "$argument" in
    --development | --production) environment=${argument#--} ;;
    --pm2 | --docker) runner=${argument#--} ;;
    -h | --help) usage; exit 0 ;;
    *) unknown_option "$argument" ;;
  esac
done
wanted=$runner
if [ "$wanted" = foreground ]; then export ENVIRONMENT=${environment:-development}
else export ENVIRONMENT=${environment:-production}; fi

install_and_build() {
  install_packages .
  say 'Building …' '正在构建……'
  build_packages
}

run_in_foreground() {
  install_and_build
  # The service itself reports what is wrong with the configuration.
  if load_settings 2>/dev/null; then
    die_when_port_is_taken "$(setting SERVICE_PORT)"
    remember_environment
    # exec turns this process into the service.
    write_pid_file $$
  fi
  exec scripts/with-node.sh "$main"
}

start_under_pm2() {
  find_pm2 || die 'PM2 is missing: npm install -g pm2' '缺少 PM2：npm install -g pm2'
  install_and_build
  ensure_config
  load_settings || exit 1
  find_service
  if [ "$runner" != none ]; then
    die "The service is already running ($(runner_line)). To deploy a new version: scripts/deploy.sh --env $ENVIRONMENT --pm2" \
      "服务已在运行（$(runner_line)）。升级请用：scripts/deploy.sh --env $ENVIRONMENT --pm2"
  fi
  die_when_port_is_taken "$(setting SERVICE_PORT)"
  start_pm2_processes
  remember_environment
  if check_health --wait 30; then
    keep_release
    say "Ready at $(service_url). Log: pm2 logs $name" "已就绪：$(service_url)。日志：pm2 logs $name"
  else
    die "The service did not become ready. See scripts/status.sh --logs and pm2 logs $name" \
      "服务未能就绪。请查看 scripts/status.sh --logs 与 pm2 logs $name"
  fi
}

start_in_docker() {
  find_compose || die 'Docker Compose is missing.' '缺少 Docker Compose。'
  ensure_config
  "${compose[@]}" up -d --build
  remember_environment
  wait_for_container || die "The container did not become healthy. See: ${compose[*]} logs $name" "容器未能就绪。请查看：${compose[*]} logs $name"
  say 'Ready at http://127.0.0.1:8089' '已就绪：http://127.0.0.1:8089'
}

case "$wanted" in
  foreground) run_in_foreground ;;
  pm2) start_under_pm2 ;;
  docker) start_in_docker ;;
esac
