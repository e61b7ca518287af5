# SPDX-License-Identifier: Apache-2.0
# The configuration files of containerd and the kubelet, and the flags of every component (DIR/flags/COMPONENT).

write_containerd_config() {
	mkdir -p "$DIR"/containerd/{root,state,opt} "$DIR/cni" "$DIR/run"
	cat >"$cfg/containerd.toml" <<END
version = 2
root = "$DIR/containerd/root"
state = "$DIR/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.overlayfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "$containerd_socket"
[plugins."io.containerd.internal.v1.opt"]
  path = "$DIR/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$DIR/cni"
END
	cat >"$DIR/cni/10-lab.conflist" <<END
{"cniVersion": "0.4.0", "name": "$NAME", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$DIR/cni/networks", "ranges": [[{"subnet": "$POD_NET"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
	cat >"$DIR/cni/99-loopback.conf" <<END
{"cniVersion": "0.4.0", "name": "lo", "type": "loopback"}
END
}

# The lab's host is no node of its own: neither its full disk nor its memory may evict pods or collect the images.
write_kubelet_config() {
	mkdir -p "$DIR/kubelet"
	echo '# no name server' >"$cfg/resolv.conf"
	cat >"$cfg/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
port: 10250
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
tlsCertFile: $ssl/kubelet.pem
tlsPrivateKeyFile: $ssl/kubelet-key.pem
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true, cacheTTL: 10s}
  x509: {clientCAFile: $ssl/ca.pem}
authorization:
  mode: Webhook
  webhook: {cacheAuthorizedTTL: 10s, cacheUnauthorizedTTL: 2s}
cgroupDriver: cgroupfs
cgroupsPerQOS: true
cgroupRoot: /$NAME
failSwapOn: false
resolvConf: $cfg/resolv.conf
clusterDNS: []
makeIPTablesUtilChains: false
nodeStatusUpdateFrequency: 1s
evictionHard: {memory.available: 0%, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
END
}

# flags_of COMPONENT: writes standard input to its flags file
flags_of() { cat >"$DIR/flags/$1"; }

# write_flags WITH_HPA(yes|no)
write_flags() {
	local controllers='*'
	[ "$1" = yes ] || controllers='*,-horizontalpodautoscaling'
	mkdir -p "$DIR/flags"
	flags_of etcd <<END
--name=$NODE_NAME
--data-dir=$DIR/etcd
--listen-client-urls=http://127.0.0.1:2379
--advertise-client-urls=http://127.0.0.1:2379
--listen-peer-urls=http://127.0.0.1:2380
--initial-advertise-peer-urls=http://127.0.0.1:2380
--initial-cluster=$NODE_NAME=http://127.0.0.1:2380
--unsafe-no-fsync=true
END
	flags_of containerd <<END
--config=$cfg/containerd.toml
END
	# who changes replicas through a scale subresource, one JSON line each
	cat >"$cfg/audit-policy.yaml" <<END
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Request
  verbs: [update, patch]
  resources: [{group: apps, resources: ["*/scale"]}]
- level: None
END
	flags_of kube-apiserver <<END
--etcd-servers=http://127.0.0.1:2379
--bind-address=0.0.0.0
--secure-port=6443
--advertise-address=$NODE_IP
--client-ca-file=$ssl/ca.pem
--tls-cert-file=$ssl/kubernetes.pem
--tls-private-key-file=$ssl/kubernetes-key.pem
--kubelet-client-certificate=$ssl/apiserver-kubelet-client.pem
--kubelet-client-key=$ssl/apiserver-kubelet-client-key.pem
--kubelet-certificate-authority=$ssl/ca.pem
--kubelet-preferred-address-types=InternalIP,Hostname
--service-account-key-file=$ssl/service-account.pem
--service-account-signing-key-file=$ssl/service-account-key.pem
--service-account-issuer=https://kubernetes.default.svc
--authorization-mode=Node,RBAC
--enable-admission-plugins=NodeRestriction
--service-cluster-ip-range=$SERVICE_NET
--service-node-port-range=20000-40000
--allow-privileged=true
--requestheader-client-ca-file=$ssl/front-proxy-ca.pem
--requestheader-allowed-names=front-proxy-client
--requestheader-extra-headers-prefix=X-Remote-Extra-
--requestheader-group-headers=X-Remote-Group
--requestheader-username-headers=X-Remote-User
--proxy-client-cert-file=$ssl/front-proxy-client.pem
--proxy-client-key-file=$ssl/front-proxy-client-key.pem
--enable-aggregator-routing=true
--endpoint-reconciler-type=none
--audit-policy-file=$cfg/audit-policy.yaml
--audit-log-path=$log/scale-audit.log
--event-ttl=1h
--v=1
END
	flags_of kube-controller-manager <<END
--kubeconfig=$cfg/kube-controller-manager.kubeconfig
--bind-address=127.0.0.1
--port=0
--controllers=$controllers
--horizontal-pod-autoscaler-sync-period=5s
--use-service-account-credentials=true
--service-account-private-key-file=$ssl/service-account-key.pem
--root-ca-file=$ssl/ca.pem
--cluster-signing-cert-file=$ssl/ca.pem
--cluster-signing-key-file=$ssl/ca-key.pem
--cluster-name=kubernetes
--service-cluster-ip-range=$SERVICE_NET
--leader-elect=false
--v=2
END
	flags_of kube-scheduler <<END
--kubeconfig=$cfg/kube-scheduler.kubeconfig
--bind-address=127.0.0.1
--port=0
--leader-elect=false
--v=1
END
	flags_of kubelet <<END
--config=$cfg/kubelet.yaml
--kubeconfig=$cfg/kubelet.kubeconfig
--hostname-override=$NODE_NAME
--node-ip=$NODE_IP
--root-dir=$DIR/kubelet
--container-runtime=remote
--container-runtime-endpoint=unix://$containerd_socket
--image-service-endpoint=unix://$containerd_socket
--v=2
END
}
