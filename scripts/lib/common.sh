# shellcheck shell=bash
# Functions that the operators' scripts share: messages in the operator's language, the settings as the service itself
# reads them, and the choice of the environment. Sourced with the root of the installation as the working directory.
# Works with bash 3.2 (macOS) and newer.

root=$(pwd -P)
readonly root
readonly main=packages/server/dist/main.js
readonly name=message-push-service

case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in
  zh*) language=zh ;;
  *) language=en ;;
esac

# say ENGLISH CHINESE prints the text for the operator's locale.
say() { if [ "$language" = zh ]; then printf '%s\n' "$2"; else printf '%s\n' "$1"; fi; }
warn() { say "$@" >&2; }
die() { warn "$@"; exit 1; }

unknown_option() {
  warn "${0##*/}: unknown option $1 (see --help)" "${0##*/}：未知选项 $1（参见 --help）"
  exit 2
}

# True when the answer is yes. Without input, the answer is no.
confirm() {
  local answer=
  say "$1 [y/N] " "$2 [y/N] " | tr -d '\n'
  read -r answer || true
  if [ ! -t 0 ]; then echo "$answer"; fi
  case "$answer" in y | Y | yes | YES | 是) return 0 ;; *) return 1 ;; esac
}

has() { command -v "$1" >/dev/null 2>&1; }

# The environment for status.sh and stop.sh: ENVIRONMENT, else the one started last, else the one that is configured.
guess_environment() {
  if [ -n "${ENVIRONMENT:-}" ]; then echo "$ENVIRONMENT"
  elif [ -s run/environment ]; then cat run/environment
  elif [ -f config/production.env ]; then echo production
  else echo development; fi
}

remember_environment() { mkdir -p run && echo "$ENVIRONMENT" >run/environment; }

# Stores the effective settings for ENVIRONMENT, as the service itself prints them, with secrets masked. Fails with the
# service's message when it refuses the configuration.
settings=
load_settings() {
  if [ ! -f "$main" ]; then
    warn 'The service is not built yet: run scripts/start.sh --development, or npm ci && npm run build.' \
      '服务尚未构建：请运行 scripts/start.sh --development，或 npm ci && npm run build。'
    return 1
  fi
  settings=$(scripts/with-node.sh "$main" --check-config)
}

# setting VARIABLE [DEFAULT]
setting() {
  local value
  value=$(printf '%s\n' "$settings" | sed -n "s/^$1=\(.*\) # [a-z]*\$/\1/p" | sed 's/ *$//')
  echo "${value:-${2:-}}"
}

# URL at which this machine reaches the service.
service_url() {
  local host scheme=http
  host=$(setting SERVICE_HOST)
  case "$host" in '' | 0.0.0.0 | ::) host=127.0.0.1 ;; *:*) host="[$host]" ;; esac
  if [ "$(setting ENABLE_SSL)" = true ]; then scheme=https; fi
  echo "$scheme://$host:$(setting SERVICE_PORT 8089)"
}

# check_health [--wait SECONDS] succeeds, and prints nothing, when the service is ready.
check_health() { scripts/with-node.sh scripts/lib/check-health.mjs --url "$(service_url)" "$@"; }

# Creates a missing production configuration: the example, but with a random API key required.
ensure_config() {
  local file=config/$ENVIRONMENT.env key
  if [ "$ENVIRONMENT" != production ] || [ -n "${CONFIG_FILE:-}" ] || [ -f "$file" ]; then return 0; fi
  key=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')
  (umask 077 && sed -e 's/^ENABLE_API_KEY_AUTH=.*/ENABLE_API_KEY_AUTH=true/' -e "s/^#* *API_KEY=.*/API_KEY=$key/" \
    -e 's/^ALLOW_ANONYMOUS=.*/ALLOW_ANONYMOUS=false/' "$file.example" >"$file")
  say "$file was created from its example. Publishers must send its API_KEY as X-API-Key. Set REDIS_PASSWORD, ALLOWED_ORIGINS and other settings there." \
    "已由示例文件生成 $file。发送方须以请求头 X-API-Key 携带其中的 API_KEY。REDIS_PASSWORD、ALLOWED_ORIGINS 等变量也在该文件中设置。"
}
