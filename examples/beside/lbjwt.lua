-- An action for HAProxy that asks lbjwt whether a request may pass, where the SPOE filter cannot be used. It sets the variables that haproxy.spoe sets:
-- txn.lbjwt.allowed, .status, .header.NAME and .answer.NAME. The listener of lbjwt has the profile traefik: it takes X-Forwarded-Method, -Uri and -Host.
--
--     http-request lua.lbjwt http://127.0.0.1:9084/

local TIMEOUT = 6000 -- milliseconds: longer than lbjwt waits for new keys of an issuer

-- What is of the client's own connection or body, and what this action says itself.
local LEFT_OUT = {
    ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["host"] = true, ["keep-alive"] = true,
    ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true, ["transfer-encoding"] = true, ["upgrade"] = true,
    ["x-lbjwt-secret"] = true,
}

local function variable(kind, name)
    return "txn.lbjwt." .. kind .. "." .. name:lower():gsub("-", "_")
end

core.register_action("lbjwt", { "http-req" }, function(txn, url)
    local headers = {}
    for name, values in pairs(txn.http:req_get_headers()) do
        if not LEFT_OUT[name] and name:sub(1, 12) ~= "x-forwarded-" then
            local list = {}
            for index = 0, #values do
                list[#list + 1] = values[index]
            end
            headers[name] = list
        end
    end
    headers["x-forwarded-method"] = { txn.f:method() }
    headers["x-forwarded-uri"] = { txn.f:pathq() }
    headers["x-forwarded-host"] = { txn.f:req_hdr("host") }
    headers["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
    headers["x-forwarded-for"] = { txn.f:src() }

    local answer = core.httpclient():get({ url = url, headers = headers, timeout = TIMEOUT })
    if answer == nil or answer.status == nil or answer.status == 0 then
        return -- no variable is set: the rules of haproxy-lua.cfg let nothing pass
    end
    local kind = answer.status == 200 and "header" or "answer"
    for name, values in pairs(answer.headers or {}) do
        txn:set_var(variable(kind, name), values[0])
    end
    txn:set_var("txn.lbjwt.answer.body", ((answer.body or ""):gsub("\n$", ""))) -- a format string turns a line break into %0A
    txn:set_var("txn.lbjwt.status", answer.status)
    txn:set_var("txn.lbjwt.allowed", answer.status == 200)
end, 1)
