# shellcheck shell=bash
# config/nginx.conf as the nginx of this machine. It replaces the whole nginx.conf, so it is for an nginx that serves
# nothing else; what it replaces is kept.

readonly nginx_conf=/etc/nginx/nginx.conf
readonly nginx_ssl=/etc/nginx/ssl/$name

# Sites of others would no longer be served.
nginx_sites_of_others() {
  local file
  for file in /etc/nginx/conf.d/*.conf /etc/nginx/sites-enabled/*; do
    case "${file##*/}" in '*' | '*.conf' | default | default.conf) ;; *) echo "$file" ;; esac
  done
}

check_nginx() {
  local others
  has nginx || die 'nginx is missing (Debian: apt-get install nginx).' '缺少 nginx（Debian：apt-get install nginx）。'
  [ "$(id -u)" -eq 0 ] || die '--with-nginx needs root.' '--with-nginx 需要 root 权限。'
  others=$(nginx_sites_of_others)
  if [ -z "$others" ] || grep -q message_push_backend "$nginx_conf" 2>/dev/null; then return 0; fi
  printf '%s\n' "$others" >&2
  die "This nginx serves the sites above, which $root/config/nginx.conf does not. Put its upstream and server blocks beside them by hand." \
    "本机 nginx 还承载以上站点，而 $root/config/nginx.conf 未包含这些站点。请手工将其 upstream 与 server 配置合并到现有配置中。"
}

# In the folder $1; never over one that is there.
make_certificate() {
  if [ -f "$1/cert.pem" ]; then return 0; fi
  mkdir -p "$1"
  (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
    -subj "/CN=$name" -keyout "$1/key.pem" -out "$1/cert.pem" 2>/dev/null)
  say "A certificate of its own was made in $1: browsers refuse it. Put yours there: cert.pem, key.pem." \
    "已在 $1 生成自签名证书，浏览器不会信任。请替换为正式证书：cert.pem、key.pem。"
}

reload_nginx() {
  if [ -d /run/systemd/system ]; then systemctl reload-or-restart nginx
  elif [ -s /run/nginx.pid ] && kill -0 "$(cat /run/nginx.pid)" 2>/dev/null; then nginx -s reload
  else nginx; fi
}

# install_nginx BACKUP-FOLDER PORT: false when nginx refuses it; then the old one is back.
install_nginx() {
  make_certificate "$nginx_ssl"
  mkdir -p "$1"
  cp -p "$nginx_conf" "$1/nginx.conf"
  sed "s/127\.0\.0\.1:8089/127.0.0.1:$2/" config/nginx.conf >"$nginx_conf"
  # A machine without IPv6 refuses to listen there.
  if [ ! -f /proc/net/if_inet6 ]; then sed -i '/listen \[::\]/d' "$nginx_conf"; fi
  if nginx -t -q && reload_nginx; then return 0; fi
  restore_nginx "$1"
  return 1
}

# restore_nginx BACKUP-FOLDER
restore_nginx() {
  if [ ! -f "$1/nginx.conf" ]; then return 0; fi
  cp -p "$1/nginx.conf" "$nginx_conf"
  nginx -t -q && reload_nginx
}
