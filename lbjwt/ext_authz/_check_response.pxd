# A `CheckResponse` that lets the request through. headers: (name, value) that replace what it has; removed: names of headers, query: of parameters
# that it loses; metadata: a `google.protobuf.Struct`, b"" for none
cpdef bytes allowed(list headers, list removed, list query, bytes metadata)
# … that has Envoy answer the client.
cpdef bytes denied(int status, list headers, bytes body)
