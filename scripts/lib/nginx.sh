# shellcheck shell=bash
# Installs config/nginx.conf on this machine. It replaces the whole nginx.conf, so it is meant for an nginx that serves
# nothing else; the replaced file is backed up.

readonly nginx_conf=/etc/nginx/nginx.conf
readonly nginx_ssl=/etc/nginx/ssl/$name

# Prints the configuration files of other sites, which would no longer be served.
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
  die "This nginx serves the sites above, which $root/config/nginx.conf does not contain. Add its upstream and server blocks to them by hand." \
    "本机 nginx 还承载以上站点，而 $root/config/nginx.conf 未包含这些站点。请手工将该文件的 upstream 与 server 块合并到现有配置中。"
}

# make_certificate FOLDER makes a self-signed certificate unless the folder has one.
make_certificate() {
  if [ -f "$1/cert.pem" ]; then return 0; fi
  mkdir -p "$1"
  (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
    -subj "/CN=$name" -keyout "$1/key.pem" -out "$1/cert.pem" 2>/dev/null)
  say "A self-signed certificate was made in $1; browsers refuse it. Replace it with yours: cert.pem, key.pem." \
    "已在 $1 生成自签名证书，浏览器不信任该证书。请替换为正式证书：cert.pem、key.pem。"
}

reload_nginx() {
  if [ -d /run/systemd/system ]; then systemctl reload-or-restart nginx
  elif [ -s /run/nginx.pid ] && kill -0 "$(cat /run/nginx.pid)" 2>/dev/null; then nginx -s reload
  else nginx; fi
}

# install_nginx BACKUP-FOLDER PORT fails when nginx refuses the configuration, after restoring the old one.
install_nginx() {
  make_certificate "$nginx_ssl"
  mkdir -p "$1"
  cp -p "$nginx_conf" "$1/nginx.conf"
  sed "s/127\.0\.0\.1:8089/127.0.0.1:$2/" config/nginx.conf >"$nginx_conf"
  # nginx does not start with IPv6 addresses on a machine without IPv6.
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
