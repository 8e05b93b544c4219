"""Code snippets that connect an application, for official SDKs and curl, with this server's URL and the keys."""

from dataclasses import dataclass, replace
from string import Template
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from environments.models import EnvironmentAPIKey

# Placeholder for the server-side key if there is none that the user may see.
NO_SERVER_KEY = "SERVER_KEY"

# Address of the host machine inside an Android emulator.
EMULATOR_HOST_ALIAS = "10.0.2.2"
LOCAL_HOSTNAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Snippet:
    id: str
    name: str
    template: Template
    install: str = ""
    """The command that installs the packages."""
    note: str = ""
    """Shown below the code."""
    needs_server_key: bool = False
    text: str = ""

    def rendered(self, url: str, key: str, server_key: str) -> "Snippet":
        text = self.template.substitute(url=url, android=_emulator_url(url), key=key, server_key=server_key).rstrip()
        return replace(self, text=text)


# The same for JavaScript and React Native.
FLAGSMITH_INIT = """
flagsmith.init({
  environmentID: "$key",
  api: "$url/api/v1/",
  eventSourceUrl: "$url/",
  realtime: true,
  onChange: () => {
    console.log(flagsmith.getAllFlags());
  },
});"""

SNIPPETS = (
    Snippet(
        "javascript",
        "JavaScript",
        Template(f'import flagsmith from "@flagsmith/flagsmith";\n{FLAGSMITH_INIT}'),
        install="npm install @flagsmith/flagsmith",
        note="Before version 11 the package was “flagsmith”.",
    ),
    Snippet(
        "react-native",
        "React Native",
        Template(f'import flagsmith from "@flagsmith/react-native";\n{FLAGSMITH_INIT}'),
        install="npm install @flagsmith/react-native",
        note="Before version 11 the package was “react-native-flagsmith”.",
    ),
    Snippet(
        "kotlin",
        "Android (Kotlin)",
        Template("""\
val flagsmith = Flagsmith(
    environmentKey = "$key",
    baseUrl = "$android/api/v1/",
    eventSourceBaseUrl = "$android/",
    context = applicationContext,
    enableRealtimeUpdates = true,
)

flagsmith.getFeatureFlags { }
lifecycleScope.launch {
    flagsmith.flagUpdateFlow.collect { flags -> Log.i("flags", flags.toString()) }
}"""),
        note="The package is com.flagsmith:flagsmith-kotlin-android-client. An emulator reaches the machine that it"
        " runs on by 10.0.2.2.",
    ),
    Snippet(
        "swift",
        "iOS (Swift)",
        Template("""\
Flagsmith.shared.apiKey = "$key"
Flagsmith.shared.baseURL = URL(string: "$url/api/v1/")!
Flagsmith.shared.eventSourceBaseURL = URL(string: "$url/")!
Flagsmith.shared.enableRealtimeUpdates = true

for await flags in Flagsmith.shared.flagStream {
    print(flags)
}"""),
        note="The package is github.com/Flagsmith/flagsmith-ios-client. Keep the order: the stream opens when real-time"
        " updates are enabled.",
    ),
    Snippet(
        "flutter",
        "Flutter",
        Template("""\
final flagsmith = FlagsmithClient(
  apiKey: '$key',
  config: const FlagsmithConfig(
    baseURI: '$url/api/v1/',
    realtimeUpdatesBaseURI: '$url/sse/environments/',
    enableRealtimeUpdates: true,
  ),
);
await flagsmith.initialize();
await flagsmith.getFeatureFlags();"""),
        install="flutter pub add flagsmith",
    ),
    Snippet(
        "python",
        "Python",
        Template("""\
import time

from flagsmith import Flagsmith

flagsmith = Flagsmith(
    environment_key="$server_key",
    api_url="$url/api/v1/",
    realtime_api_url="$url/",
    enable_local_evaluation=True,
    enable_realtime_updates=True,
)

while True:
    flags = flagsmith.get_environment_flags().all_flags()
    print({flag.feature_name: flag.enabled for flag in flags}, flush=True)
    time.sleep(1)"""),
        install="pip install flagsmith",
        note="It evaluates by itself, so it takes a server-side key.",
        needs_server_key=True,
    ),
    Snippet(
        "ruby",
        "Ruby",
        Template("""\
require "flagsmith"

flagsmith = Flagsmith::Client.new(
  environment_key: "$server_key",
  api_url: "$url/api/v1/",
  realtime_api_url: "$url/",
  enable_local_evaluation: true,
  enable_realtime_updates: true
)

loop do
  puts flagsmith.get_environment_flags.all_flags
  sleep 1
end"""),
        install="gem install flagsmith",
        note="It evaluates by itself, so it takes a server-side key. In the SDK as released, RealtimeClient#listen"
        " clears @running right after it has started its thread, which then ends before its first connection: remove"
        " that line.",
        needs_server_key=True,
    ),
    Snippet(
        "go",
        "Go",
        Template("""\
client := flagsmith.NewClient("$server_key",
	flagsmith.WithBaseURL("$url/api/v1/"),
	flagsmith.WithLocalEvaluation(context.Background()),
	flagsmith.WithRealtime(),
	flagsmith.WithRealtimeBaseURL("$url/"))"""),
        install="go get github.com/Flagsmith/flagsmith-go-client/v5",
        note="Version 5. It evaluates by itself, so it takes a server-side key.",
        needs_server_key=True,
    ),
    Snippet(
        "node",
        "Node",
        Template("""\
import { EventSource } from "eventsource";
import { Flagsmith } from "flagsmith-nodejs";

const flagsmith = new Flagsmith({
  environmentKey: "$server_key",
  apiUrl: "$url/api/v1/",
  enableLocalEvaluation: true,
});

const stream = new EventSource("$url/sse/environments/$key/stream");
stream.addEventListener("environment_updated", () => flagsmith.updateEnvironment());"""),
        install="npm install flagsmith-nodejs eventsource",
        note="It evaluates by itself, so it takes a server-side key. It also polls every minute.",
        needs_server_key=True,
    ),
    Snippet(
        "openfeature-web",
        "OpenFeature in browsers",
        Template("""\
import { OpenFeature, ProviderEvents } from "@openfeature/web-sdk";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";

const provider = new OFREPWebProvider({
  baseUrl: "$url",
  headers: [["X-API-Key", "$key"]],
});
await OpenFeature.setProviderAndWait(provider, { targetingKey: "user-1", plan: "pro" });

const client = OpenFeature.getClient();
client.addHandler(ProviderEvents.ConfigurationChanged, () => {
  console.log(client.getBooleanValue("banner", false));
});"""),
        install="npm install @openfeature/web-sdk @openfeature/ofrep-web-provider",
        note="From version 0.4 of the provider, which opens a stream. It does not poll.",
    ),
    Snippet(
        "openfeature-python",
        "OpenFeature in Python",
        Template("""\
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

api.set_provider(OFREPProvider("$url", headers_factory=lambda: {"X-API-Key": "$server_key"}))
client = api.get_client()

context = EvaluationContext("user-1", {"plan": "pro"})
print(client.get_boolean_value("banner", False, context))"""),
        install="pip install openfeature-sdk openfeature-provider-ofrep",
        note="The server evaluates each flag when the application asks for it, so no stream is needed.",
        needs_server_key=True,
    ),
    Snippet(
        "openfeature-flagsmith-web",
        "OpenFeature in browsers, with the provider for Flagsmith",
        Template("""\
import { OpenFeature } from "@openfeature/web-sdk";
import { FlagsmithClientProvider } from "@openfeature/flagsmith-client-provider";

const provider = new FlagsmithClientProvider({
  environmentID: "$key",
  api: "$url/api/v1/",
  eventSourceUrl: "$url/",
  realtime: true,
});
await OpenFeature.setProviderAndWait(provider, { targetingKey: "user-1" });

const client = OpenFeature.getClient();
console.log(client.getBooleanValue("banner", false));"""),
        install="npm install @openfeature/web-sdk @openfeature/flagsmith-client-provider",
    ),
    Snippet(
        "openfeature-flagsmith-node",
        "OpenFeature in Node, with the provider for Flagsmith",
        Template("""\
import { FlagsmithOpenFeatureProvider } from "@openfeature/flagsmith-provider";
import { OpenFeature } from "@openfeature/server-sdk";
import { EventSource } from "eventsource";
import { Flagsmith } from "flagsmith-nodejs";

const flagsmith = new Flagsmith({
  environmentKey: "$server_key",
  apiUrl: "$url/api/v1/",
  enableLocalEvaluation: true,
});
const stream = new EventSource("$url/sse/environments/$key/stream");
stream.addEventListener("environment_updated", () => flagsmith.updateEnvironment());
await OpenFeature.setProviderAndWait(new FlagsmithOpenFeatureProvider(flagsmith));

const client = OpenFeature.getClient();
console.log(await client.getBooleanValue("banner", false, { targetingKey: "user-1" }));"""),
        install="npm install @openfeature/server-sdk @openfeature/flagsmith-provider flagsmith-nodejs eventsource",
        note="It evaluates by itself, so it takes a server-side key.",
        needs_server_key=True,
    ),
    Snippet(
        "openfeature-flagsmith-python",
        "OpenFeature in Python, with the provider for Flagsmith",
        Template("""\
from flagsmith import Flagsmith
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature_flagsmith.provider import FlagsmithProvider

flagsmith = Flagsmith(
    environment_key="$server_key",
    api_url="$url/api/v1/",
    realtime_api_url="$url/",
    enable_local_evaluation=True,
    enable_realtime_updates=True,
)
api.set_provider(FlagsmithProvider(client=flagsmith))
client = api.get_client()

print(client.get_boolean_value("banner", False, EvaluationContext("user-1")))"""),
        install="pip install openfeature-provider-flagsmith",
        note="It evaluates by itself, so it takes a server-side key.",
        needs_server_key=True,
    ),
    Snippet(
        "curl",
        "curl",
        Template("""\
curl -H "X-Environment-Key: $key" "$url/api/v1/flags/"
curl -N "$url/sse/environments/$key/stream"
"""),
        note="The first one reads the flags. The second one streams: it prints an event at once, and one when you"
        " change a flag. An event has no flags: then read them again.",
    ),
)


def is_valid(key: EnvironmentAPIKey) -> bool:
    """Whether SDKs can use a server-side key: it is active and has not expired."""
    return key.active and (key.expires_at is None or key.expires_at > timezone.now())


def server_url(request: HttpRequest) -> str:
    """The URL at which applications reach this server: ``PUBLIC_URL``, or the URL of the browser's request if
    ``PUBLIC_URL`` is local."""
    if urlsplit(settings.PUBLIC_URL).hostname not in LOCAL_HOSTNAMES:
        return settings.PUBLIC_URL
    return request.build_absolute_uri("/").rstrip("/")


def _emulator_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.hostname not in LOCAL_HOSTNAMES:
        return url
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{EMULATOR_HOST_ALIAS}{port}").geturl()
