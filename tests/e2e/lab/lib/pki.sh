# SPDX-License-Identifier: Apache-2.0
# The cluster's certificates and kubeconfigs, in the layout of a binary-installed cluster: /opt/kubernetes/{ssl,cfg} below DIR.

# RSA where the documented layout has it; EC elsewhere, which is made in no time
RSA=(-newkey rsa:2048)
EC=(-newkey ec -pkeyopt ec_paramgen_curve:P-256)

# openssl_req NAME SUBJECT CA EXTENSIONS KEY...: a key and a certificate NAME.pem, NAME-key.pem signed by CA (itself when "-")
openssl_req() {
	local name=$1 subject=$2 ca=$3 extensions=$4 sign=()
	shift 4
	[ "$ca" = - ] || sign=(-CA "$ssl/$ca.pem" -CAkey "$ssl/$ca-key.pem")
	# the keyid of the authority comes only from its certificate: none in a self-signed one
	[ "$ca" = - ] || extensions+=$'\nauthorityKeyIdentifier = keyid'
	printf '[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n[dn]\n[ext]\n%s\nsubjectKeyIdentifier = hash\n' \
		"$extensions" >"$ssl/$name.cnf"
	(umask 077 && openssl req -x509 -sha256 -nodes -days 365 "$@" -config "$ssl/$name.cnf" -subj "$subject" "${sign[@]}" \
		-keyout "$ssl/$name-key.pem" -out "$ssl/$name.pem" 2>"$ssl/$name.err") ||
		die "openssl could not make $name.pem: $(cat "$ssl/$name.err")"
	chmod 0644 "$ssl/$name.pem"
	rm -f "$ssl/$name.cnf" "$ssl/$name.err"
}

make_ca() {
	openssl_req "$1" "$2" - $'basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign' "${RSA[@]}"
}

leaf=$'basicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature, keyEncipherment'
client=$leaf$'\nextendedKeyUsage = clientAuth'
server=$leaf$'\nextendedKeyUsage = serverAuth'

make_certificates() {
	make_ca ca /CN=kubernetes
	openssl_req kubernetes /CN=kubernetes ca "$server
subjectAltName = DNS:kubernetes, DNS:kubernetes.default, DNS:kubernetes.default.svc, DNS:kubernetes.default.svc.cluster.local, \
IP:127.0.0.1, IP:$NODE_IP, IP:$SERVICE_IP" "${RSA[@]}"
	openssl_req admin /O=system:masters/CN=admin ca "$client" "${EC[@]}"
	openssl_req apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client ca "$client" "${EC[@]}"
	openssl_req kube-controller-manager /CN=system:kube-controller-manager ca "$client" "${EC[@]}"
	openssl_req kube-scheduler /CN=system:kube-scheduler ca "$client" "${EC[@]}"
	openssl_req kubelet-client "/O=system:nodes/CN=system:node:$NODE_NAME" ca "$client" "${EC[@]}"
	openssl_req kubelet "/CN=$NODE_NAME" ca "$server
subjectAltName = DNS:$NODE_NAME, IP:$NODE_IP" "${EC[@]}"
	(umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$ssl/service-account-key.pem")
	openssl ec -in "$ssl/service-account-key.pem" -pubout -out "$ssl/service-account.pem" 2>/dev/null
}

# kube-apiserver does not start without the front proxy's files. In the product kmetricsd makes them: the tests set
# KMETRICSD_BOOTSTRAP to its command. Without it (work on the lab alone) openssl does.
make_front_proxy() {
	local f
	if [ -n "${KMETRICSD_BOOTSTRAP-}" ]; then
		(eval "$KMETRICSD_BOOTSTRAP") >&2 </dev/null || die "KMETRICSD_BOOTSTRAP failed: $KMETRICSD_BOOTSTRAP"
	else
		make_ca front-proxy-ca /CN=front-proxy-ca
		openssl_req front-proxy-client /CN=front-proxy-client front-proxy-ca "$client" "${EC[@]}"
	fi
	for f in front-proxy-ca.pem front-proxy-client.pem front-proxy-client-key.pem; do
		[ -s "$ssl/$f" ] || die "$ssl/$f is missing: KMETRICSD_BOOTSTRAP has to make it"
	done
}

# kubeconfig FILE CERTIFICATE: everything embedded, as `kubectl config --embed-certs` does it
kubeconfig() {
	(umask 077 && cat >"$1") <<END
apiVersion: v1
kind: Config
current-context: lab
clusters:
- name: kubernetes
  cluster:
    server: https://$NODE_IP:6443
    certificate-authority-data: $(base64 -w 0 "$ssl/ca.pem")
contexts:
- name: lab
  context:
    cluster: kubernetes
    user: $2
users:
- name: $2
  user:
    client-certificate-data: $(base64 -w 0 "$ssl/$2.pem")
    client-key-data: $(base64 -w 0 "$ssl/$2-key.pem")
END
}

make_kubeconfigs() {
	kubeconfig "$cfg/admin.kubeconfig" admin
	kubeconfig "$cfg/kube-controller-manager.kubeconfig" kube-controller-manager
	kubeconfig "$cfg/kube-scheduler.kubeconfig" kube-scheduler
	kubeconfig "$cfg/kubelet.kubeconfig" kubelet-client
	cp -p "$cfg/admin.kubeconfig" "$DIR/admin.kubeconfig"
}
