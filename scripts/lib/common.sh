# shellcheck shell=bash
# What the operators' scripts share: words in the operator's language, the settings as the service itself reads
# them, and the environment that is meant. Sourced with the root of the installation as working folder; written for
# bash 3.2 (macOS) and up.

root=$(pwd -P)
readonly root
readonly main=packages/server/dist/main.js
readonly name=message-push-service

case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in
  zh*) language=zh ;;
  *) language=en ;;
esac

# say ENGLISH CHINESE prints the one of the operator's locale.
say() { if [ "$language" = zh ]; then printf '%s\n' "$2"; else printf '%s\n' "$1"; fi; }
warn() { say "$@" >&2; }
die() { warn "$@"; exit 1; }

unknown_option() {
  warn "${0##*/}: unknown option $1 (see --help)" "${0##*/}：未知选项 $1（参见 --help）"
  exit 2
}

# True when the answer is yes. Nobody to ask (no terminal, no input) is a no.
confirm() {
  local answer=
  say "$1 [y/N] " "$2 [y/N] " | tr -d '\n'
  read -r answer || true
  if [ ! -t 0 ]; then echo "$answer"; fi
  case "$answer" in y | Y | yes | YES | 是) return 0 ;; *) return 1 ;; esac
}

has() { command -v "$1" >/dev/null 2>&1; }

# The environment that status.sh and stop.sh look at: what is said, else what was started last, else what is there.
guess_environment() {
  if [ -n "${ENVIRONMENT:-}" ]; then echo "$ENVIRONMENT"
  elif [ -s run/environment ]; then cat run/environment
  elif [ -f config/production.env ]; then echo production
  else echo development; fi
}

remember_environment() { mkdir -p run && echo "$ENVIRONMENT" >run/environment; }

# Keeps the settings as they count for ENVIRONMENT, which the service itself says; fails with its words when it
# refuses them. Secrets are masked in it.
settings=
load_settings() {
  if [ ! -f "$main" ]; then
    warn 'The service is not built yet: scripts/start.sh --development, or npm ci && npm run build.' \
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

# Where this machine reaches the service.
service_url() {
  local host scheme=http
  host=$(setting SERVICE_HOST)
  case "$host" in '' | 0.0.0.0 | ::) host=127.0.0.1 ;; *:*) host="[$host]" ;; esac
  if [ "$(setting ENABLE_SSL)" = true ]; then scheme=https; fi
  echo "$scheme://$host:$(setting SERVICE_PORT 8089)"
}

# check_health [--wait SECONDS] says nothing when the service is ready to serve.
check_health() { scripts/with-node.sh scripts/lib/check-health.mjs --url "$(service_url)" "$@"; }

# A production configuration for who has none: the example, but closed to strangers, by a key of its own.
ensure_config() {
  local file=config/$ENVIRONMENT.env key
  if [ "$ENVIRONMENT" != production ] || [ -n "${CONFIG_FILE:-}" ] || [ -f "$file" ]; then return 0; fi
  key=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')
  (umask 077 && sed -e 's/^ENABLE_API_KEY_AUTH=.*/ENABLE_API_KEY_AUTH=true/' -e "s/^#* *API_KEY=.*/API_KEY=$key/" \
    -e 's/^ALLOW_ANONYMOUS=.*/ALLOW_ANONYMOUS=false/' "$file.example" >"$file")
  say "$file was made from its example. Publishers must send the API_KEY in it as X-API-Key. Set REDIS_PASSWORD, ALLOWED_ORIGINS and the rest there." \
    "已由示例生成 $file。发送方须以请求头 X-API-Key 携带其中的 API_KEY。REDIS_PASSWORD、ALLOWED_ORIGINS 等也请在该文件中设置。"
}
