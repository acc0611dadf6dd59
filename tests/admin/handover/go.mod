// The controllers whose CRDs the manifests of a hand-over are checked against. Nothing is built.
module kfsecrets.test/handover

go 1.25.0

require (
	github.com/external-secrets/external-secrets v1.3.2
	github.com/kyverno/kyverno v1.19.1
)
