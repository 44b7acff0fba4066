"""Uses the page of the API description in a browser, as a person would. Prints what was seen as JSON.

Arguments: the address of the server, an e-mail address, its password, an API key. The browser and its driver are named by
BERTH_TEST_CHROMIUM and BERTH_TEST_CHROMEDRIVER.
"""

import json
import os
import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

LIMIT_SECONDS = 60


def start(profile):
    options = webdriver.ChromeOptions()
    options.binary_location = os.environ["BERTH_TEST_CHROMIUM"]
    for argument in ["headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1400,1200"]:
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={profile}")
    # What the browser itself wants from the network is none of the page's business.
    for argument in ["disable-background-networking", "disable-component-update", "no-first-run"]:
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(os.environ["BERTH_TEST_CHROMEDRIVER"]))


def requested(browser):
    """The addresses that the page has asked for, since it was last asked."""
    found = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
    return found


class Page:
    def __init__(self, browser):
        self.browser = browser

    def wait(self, condition):
        return WebDriverWait(self.browser, LIMIT_SECONDS).until(lambda _: condition())

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.wait(lambda: next((found for found in self.all(selector) if found.is_displayed()), None))

    def click(self, element):
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", element)

    def in_dialog(self, heading):
        """The part of the dialog for one way to sign in."""
        self.click(self.one(".auth-wrapper .authorize"))
        self.one(".dialog-ux")
        parts = self.wait(lambda: self.all(".dialog-ux .auth-container"))
        return next(part for part in parts if heading in part.text)

    def authorize(self, part, fields):
        for selector, value in fields.items():
            part.find_element(By.CSS_SELECTOR, selector).send_keys(value)
        self.click(part.find_element(By.CSS_SELECTOR, "button.authorize"))
        self.wait(lambda: self.all(".dialog-ux .auth-container button.btn-done") and "Logout" in self.one(".dialog-ux").text)
        self.click(self.one(".dialog-ux .close-modal"))
        self.wait(lambda: not self.all(".dialog-ux"))

    def log_out(self, heading):
        part = self.in_dialog(heading)
        self.click(part.find_element(By.XPATH, ".//button[text()='Logout']"))
        self.click(self.one(".dialog-ux .close-modal"))
        self.wait(lambda: not self.all(".dialog-ux"))

    def try_out(self, operation):
        """Runs an operation that takes no parameters; its status and body."""
        block = self.one(f"[id$='-{operation}']")
        if "is-open" not in block.get_attribute("class"):
            self.click(block.find_element(By.CSS_SELECTOR, ".opblock-summary-control"))
        if not block.find_elements(By.CSS_SELECTOR, "button.execute"):
            self.click(self.wait(lambda: next(iter(block.find_elements(By.CSS_SELECTOR, ".try-out__btn")), None)))
        for clear in block.find_elements(By.CSS_SELECTOR, "button.btn-clear"):
            self.click(clear)
        self.click(self.wait(lambda: next(iter(block.find_elements(By.CSS_SELECTOR, "button.execute")), None)))
        selector = ".live-responses-table .response-col_status"
        status = self.wait(lambda: next((s for s in block.find_elements(By.CSS_SELECTOR, selector) if s.text[:3].isdigit()), None))
        body = block.find_element(By.CSS_SELECTOR, ".live-responses-table .highlight-code").text
        return {"status": int(status.text[:3]), "body": body}


def main(address, email, password, key):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = start(profile)
        try:
            page = Page(browser)
            browser.get(f"{address}/docs")
            page.wait(lambda: page.all(".opblock-tag"))
            for tag in page.all(".opblock-tag[data-is-open='false']"):
                page.click(tag)
            page.wait(lambda: not page.all(".opblock-tag[data-is-open='false']"))
            page.wait(lambda: page.all(".opblock"))
            seen = {"operations": len(page.all(".opblock")), "anonymous": page.try_out("auth_me")}
            page.authorize(page.in_dialog("sign_in"), {"#oauth_username": email, "#oauth_password": password})
            seen["person"] = page.try_out("auth_me")
            page.log_out("sign_in")
            page.authorize(page.in_dialog("bearer"), {"input": key})
            seen["key"] = page.try_out("auth_me")
            seen["outside"] = [
                url for url in requested(browser) if not url.startswith((address, "data:", "blob:", "chrome:"))
            ]
            print(json.dumps(seen))
        finally:
            browser.quit()


main(*sys.argv[1:])
