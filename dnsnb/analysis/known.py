"""Names that others want to be taken for: the default of `lookalikes` and `homoglyphs` (better: one's own list)."""

from __future__ import annotations

KNOWN: tuple[str, ...] = (
    "google.com", "youtube.com", "facebook.com", "instagram.com", "whatsapp.com", "wikipedia.org", "amazon.com",
    "apple.com", "icloud.com", "microsoft.com", "office.com", "outlook.com", "live.com", "microsoftonline.com",
    "windows.com", "sharepoint.com", "skype.com", "linkedin.com", "github.com", "gitlab.com", "bitbucket.org",
    "stackoverflow.com", "twitter.com", "reddit.com", "pinterest.com", "tiktok.com", "snapchat.com",
    "telegram.org", "discord.com", "slack.com", "zoom.us", "dropbox.com", "adobe.com", "salesforce.com",
    "oracle.com", "cisco.com", "intel.com", "nvidia.com", "samsung.com", "huawei.com", "xiaomi.com", "sony.com",
    "netflix.com", "spotify.com", "twitch.tv", "disneyplus.com", "hulu.com", "steampowered.com",
    "steamcommunity.com", "epicgames.com", "roblox.com", "playstation.com", "nintendo.com", "paypal.com",
    "stripe.com", "visa.com", "mastercard.com", "americanexpress.com", "westernunion.com", "revolut.com",
    "wise.com", "klarna.com", "coinbase.com", "binance.com", "kraken.com", "blockchain.com", "metamask.io",
    "opensea.io", "bankofamerica.com", "wellsfargo.com", "chase.com", "citibank.com", "capitalone.com",
    "hsbc.com", "barclays.co.uk", "lloydsbank.com", "santander.com", "bbva.com", "ing.com", "rabobank.nl",
    "deutsche-bank.de", "commerzbank.de", "sparkasse.de", "postbank.de", "bnpparibas.com", "creditagricole.fr",
    "unicredit.it", "intesasanpaolo.com", "ubs.com", "ebay.com", "aliexpress.com", "alibaba.com", "walmart.com",
    "target.com", "bestbuy.com", "costco.com", "ikea.com", "etsy.com", "shopify.com", "booking.com",
    "airbnb.com", "expedia.com", "tripadvisor.com", "uber.com", "ryanair.com", "lufthansa.com", "dhl.com",
    "fedex.com", "ups.com", "usps.com", "royalmail.com", "deutschepost.de", "laposte.fr", "yahoo.com",
    "gmail.com", "protonmail.com", "fastmail.com", "mailchimp.com", "gmx.de", "web.de", "mail.ru", "yandex.ru",
    "baidu.com", "taobao.com", "weibo.com", "wordpress.com", "blogger.com", "tumblr.com", "medium.com",
    "squarespace.com", "godaddy.com", "namecheap.com", "cloudflare.com", "digitalocean.com", "mozilla.org",
    "debian.org", "ubuntu.com", "python.org", "npmjs.com", "docker.com", "nytimes.com", "bbc.co.uk", "cnn.com",
    "theguardian.com", "spiegel.de", "lemonde.fr",
)  # fmt: skip
